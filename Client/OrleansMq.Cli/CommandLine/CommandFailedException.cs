namespace OrleansMq.Cli.CommandLine;

/// <summary>A command failed. Ends the program with an exit code and one line that gives the reason and the fix.</summary>
internal sealed class CommandFailedException(ExitCode exitCode, string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>The program's exit code.</summary>
    public ExitCode ExitCode { get; } = exitCode;

    /// <summary>Creates a failure for a command line that is well-formed but invalid.</summary>
    public static CommandFailedException Usage(string message) => new(ExitCode.WrongUsage, message);

    /// <summary>Creates a failure for something that the broker or the machine does not permit.</summary>
    public static CommandFailedException Refused(string message, Exception? inner = null) => new(ExitCode.Refused, message, inner);
}
