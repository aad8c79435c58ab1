namespace OrleansMq.Cli.Terminal;

/// <summary>The reader of standard output has gone (<c>| head</c>), so the program ends quietly.</summary>
internal sealed class BrokenPipeException() : IOException("The reader of standard output has gone.");
