using System.Diagnostics;
using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Cli.Clusters;

/// <summary>Locates the broker program: where the launcher says, or as an installed .NET tool.</summary>
internal static class BrokerProgram
{
    /// <summary>The environment variable in which the launcher passes the path of the broker program.</summary>
    public const string Variable = "OMQ_BROKER_DLL";

    // The tool of the package OrleansMq.Broker.
    private static readonly string ToolName = OperatingSystem.IsWindows() ? "orleansmq.exe" : "orleansmq";

    /// <summary>Returns the words of the command line that starts it; flags follow.</summary>
    /// <param name="whatFor">What needs the broker, for the message.</param>
    /// <exception cref="CommandFailedException">There is no broker program.</exception>
    public static IReadOnlyList<string> Words(string whatFor)
    {
        if (Environment.GetEnvironmentVariable(Variable) is { } program && File.Exists(program))
            return [Environment.ProcessPath is { } host && Path.GetFileNameWithoutExtension(host) == "dotnet" ? host : "dotnet", program];
        // Tools that were installed together are beside each other; others are on the path.
        var directories = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator)
            .Prepend(Path.GetDirectoryName(Environment.ProcessPath) ?? "");
        return directories.Where(static directory => directory.Length > 0).Select(static directory => Path.Combine(directory, ToolName))
            .FirstOrDefault(File.Exists) is { } tool ? [tool] : throw CommandFailedException.Refused(
            $"{whatFor} only with the broker program, which is not installed: dotnet tool install --global OrleansMq.Broker");
    }

    /// <summary>Returns how to start a program and capture its output.</summary>
    public static ProcessStartInfo Start(IEnumerable<string> words) => new(words.First(), words.Skip(1))
    {
        RedirectStandardInput = true,
        RedirectStandardOutput = true,
        RedirectStandardError = true,
    };
}
