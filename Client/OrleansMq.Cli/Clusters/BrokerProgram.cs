using System.Diagnostics;
using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Cli.Clusters;

/// <summary>The broker program, where the launcher says that it is.</summary>
internal static class BrokerProgram
{
    /// <summary>The environment variable by which the launcher says where the broker is.</summary>
    public const string Variable = "OMQ_BROKER_DLL";

    /// <summary>The words that start it; flags follow.</summary>
    /// <param name="whatFor">Who wants one, for the message.</param>
    /// <exception cref="CommandFailedException">The launcher did not start this program.</exception>
    public static IReadOnlyList<string> Words(string whatFor)
    {
        var program = Environment.GetEnvironmentVariable(Variable);
        if (program is null || !File.Exists(program))
            throw CommandFailedException.Refused(
                $"{whatFor} only through the launcher, which knows where the broker program is: run ./omq.");
        return [Environment.ProcessPath is { } host && Path.GetFileNameWithoutExtension(host) == "dotnet" ? host : "dotnet", program];
    }

    /// <summary>How to start a program whose output is read.</summary>
    public static ProcessStartInfo Start(IEnumerable<string> words) => new(words.First(), words.Skip(1))
    {
        RedirectStandardInput = true,
        RedirectStandardOutput = true,
        RedirectStandardError = true,
    };
}
