// CEvent
