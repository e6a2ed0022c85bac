import SpateCommand

@main
enum Spate {
  static func main() { CommandLineTool.main() }
}
