namespace OrleansMq.Cli.CommandLine;

/// <summary>A command cannot go on: ends the program with an exit code and one line that says why and what to do.</summary>
internal sealed class CommandFailedException(ExitCode exitCode, string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>What the caller is told.</summary>
    public ExitCode ExitCode { get; } = exitCode;

    /// <summary>A command line that can be parsed, but makes no sense.</summary>
    public static CommandFailedException Usage(string message) => new(ExitCode.WrongUsage, message);

    /// <summary>Something the command cannot do.</summary>
    public static CommandFailedException Refused(string message, Exception? inner = null) => new(ExitCode.Refused, message, inner);
}
