namespace OrleansMq.Cli.CommandLine;

/// <summary>The exit codes of the program.</summary>
internal enum ExitCode
{
    /// <summary>Success.</summary>
    Done = 0,
    /// <summary>The broker or the machine refused; the message gives the reason and the fix.</summary>
    Refused = 1,
    /// <summary>The command line is wrong; nothing was attempted.</summary>
    WrongUsage = 2,
    /// <summary>No broker answers at the address.</summary>
    Unreachable = 3,
}
