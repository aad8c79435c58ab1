using System.Diagnostics;
using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Cli.Clusters;

/// <summary>Locates the broker program, as the launcher specifies it.</summary>
internal static class BrokerProgram
{
    /// <summary>The environment variable in which the launcher passes the path of the broker program.</summary>
    public const string Variable = "OMQ_BROKER_DLL";

    /// <summary>Returns the words of the command line that starts it; flags follow.</summary>
    /// <param name="whatFor">What needs the broker, for the message.</param>
    /// <exception cref="CommandFailedException">The launcher did not start this program.</exception>
    public static IReadOnlyList<string> Words(string whatFor)
    {
        var program = Environment.GetEnvironmentVariable(Variable);
        if (program is null || !File.Exists(program))
            throw CommandFailedException.Refused(
                $"{whatFor} only through the launcher, which knows where the broker program is: run ./omq.");
        return [Environment.ProcessPath is { } host && Path.GetFileNameWithoutExtension(host) == "dotnet" ? host : "dotnet", program];
    }

    /// <summary>Returns how to start a program and capture its output.</summary>
    public static ProcessStartInfo Start(IEnumerable<string> words) => new(words.First(), words.Skip(1))
    {
        RedirectStandardInput = true,
        RedirectStandardOutput = true,
        RedirectStandardError = true,
    };
}
