using System.Runtime.InteropServices;

namespace OrleansMq.Tests.Chaos.Running;

/// <summary>The paths of the programs under test, built together with the tests.</summary>
internal static class Programs
{
    private static readonly string Artifacts = FindArtifacts();

    /// <summary>The <c>dotnet</c> program that runs the tests.</summary>
    public static string DotNet { get; } = Environment.ProcessPath is { } path && Path.GetFileNameWithoutExtension(path) == "dotnet"
        ? path
        : Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", "..", "dotnet"));

    /// <summary>The command line.</summary>
    public static string CommandLine { get; } = Path.Combine(Artifacts, "OrleansMq.Cli", "release", "omq.dll");

    /// <summary>The broker.</summary>
    public static string Silo { get; } = Path.Combine(Artifacts, "OrleansMq.Silo", "release", "OrleansMq.Silo.dll");

    /// <summary>The sample with the order flow: a silo of its own.</summary>
    public static string OrderFlow { get; } =
        Path.Combine(Artifacts, "OrleansMq.Samples.OrderFlow", "release", "OrleansMq.Samples.OrderFlow.dll");

    /// <summary>Finds the output folder of this flavour, three levels above this assembly.</summary>
    private static string FindArtifacts() =>
        new DirectoryInfo(AppContext.BaseDirectory).Parent?.Parent?.FullName
        ?? throw new InvalidOperationException($"{AppContext.BaseDirectory} is not below artifacts.");
}
