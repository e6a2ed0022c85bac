import SpateCommand

let tool = CommandLineTool()
await tool.run()
