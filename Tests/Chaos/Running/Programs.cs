using System.Runtime.InteropServices;

namespace OrleansMq.Tests.Chaos.Running;

/// <summary>Where the programs under test lie: those that were built together with the tests.</summary>
internal static class Programs
{
    private static readonly string Artifacts = FindArtifacts();

    /// <summary>The program that runs this.</summary>
    public static string DotNet { get; } = Environment.ProcessPath is { } path && Path.GetFileNameWithoutExtension(path) == "dotnet"
        ? path
        : Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", "..", "dotnet"));

    /// <summary>The command line.</summary>
    public static string CommandLine { get; } = Path.Combine(Artifacts, "OrleansMq.Cli", "release", "omq.dll");

    /// <summary>The broker.</summary>
    public static string Silo { get; } = Path.Combine(Artifacts, "OrleansMq.Silo", "release", "OrleansMq.Silo.dll");

    /// <summary>The folder of this flavour's projects, three above the one with this assembly.</summary>
    private static string FindArtifacts() =>
        new DirectoryInfo(AppContext.BaseDirectory).Parent?.Parent?.FullName
        ?? throw new InvalidOperationException($"{AppContext.BaseDirectory} is not below artifacts.");
}
