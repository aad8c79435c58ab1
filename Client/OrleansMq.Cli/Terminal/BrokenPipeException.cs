namespace OrleansMq.Cli.Terminal;

/// <summary>Whoever read the output has gone (<c>| head</c>): nobody wants the rest, so the program ends quietly.</summary>
internal sealed class BrokenPipeException() : IOException("The reader of standard output has gone.");
