using System.Runtime.CompilerServices;

namespace OrleansMq.Tests.Shared;

/// <summary>Kafka clients for Python, from Debian, and the scripts that use them.</summary>
internal static class PythonPackages
{
    // Debian's own interpreter; another one does not see Debian's packages.
    public const string Python = "/usr/bin/python3";
    private const string Packages = "/usr/lib/python3/dist-packages";

    /// <summary>Skips the test if the package is not installed.</summary>
    public static void Require(string package) =>
        Skip.IfNot(File.Exists(Python) && Directory.Exists(Path.Combine(Packages, package)), $"There is no {package} for Python.");

    /// <summary>Returns the path of a script.</summary>
    public static string Script(string name) => Path.Combine(Folder(), name);

    private static string Folder([CallerFilePath] string path = "") =>
        Path.GetFullPath(Path.Combine(Path.GetDirectoryName(path)!, "..", "..", "Kafka", "Clients", "Python"));
}
