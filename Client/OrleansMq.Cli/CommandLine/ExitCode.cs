namespace OrleansMq.Cli.CommandLine;

/// <summary>What the program tells its caller by its exit code.</summary>
internal enum ExitCode
{
    /// <summary>Done.</summary>
    Done = 0,
    /// <summary>The broker, or the machine, refused; the message says why and what to do.</summary>
    Refused = 1,
    /// <summary>The command line is wrong; nothing was tried.</summary>
    WrongUsage = 2,
    /// <summary>No broker answers at the address.</summary>
    Unreachable = 3,
}
