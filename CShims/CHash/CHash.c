// CHash
