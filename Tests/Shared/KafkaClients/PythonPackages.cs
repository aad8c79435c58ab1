using System.IO.Compression;
using System.Runtime.CompilerServices;

namespace OrleansMq.Tests.Shared;

/// <summary>Client libraries for Python, from Debian, and the scripts that use them.</summary>
internal static class PythonPackages
{
    // Debian's own interpreter; another one does not see Debian's packages.
    public const string Python = "/usr/bin/python3";
    private static readonly Dictionary<string, string?> Unpacked = [];
    private const string Packages = "/usr/lib/python3/dist-packages";

    /// <summary>Skips the test if the package is not installed.</summary>
    public static void Require(string package) =>
        Skip.IfNot(File.Exists(Python) && Directory.Exists(Path.Combine(Packages, package)), $"There is no {package} for Python.");

    /// <summary>Unpacks the wheels of the peers, or skips the test if they are missing, or not for this Python. Returns the environment
    /// that finds them before Debian's.</summary>
    public static IReadOnlyDictionary<string, string?> RequireWheels()
    {
        var peers = Environment.GetEnvironmentVariable("OMQ_PEERS");
        Skip.If(string.IsNullOrEmpty(peers), "OMQ_PEERS does not name a folder with real peers.");
        Skip.IfNot(File.Exists(Python) && Directory.Exists("/usr/lib/python3.11"), "There is no Python 3.11, for which the wheels are.");
        var wheels = Directory.Exists(Path.Combine(peers!, "wheels")) ? Directory.GetFiles(Path.Combine(peers!, "wheels"), "*.whl") : [];
        Skip.If(wheels.Length == 0, $"There are no wheels in {peers}/wheels.");
        lock (Unpacked)
        {
            if (Unpacked.Count == 0)
            {
                var folder = Directory.CreateTempSubdirectory("omq-wheels-");
                foreach (var wheel in wheels)
                    ZipFile.ExtractToDirectory(wheel, folder.FullName, overwriteFiles: true);
                AppDomain.CurrentDomain.ProcessExit += (_, _) => folder.Delete(recursive: true);
                Unpacked["PYTHONPATH"] = folder.FullName;
            }
            return Unpacked;
        }
    }

    /// <summary>Returns the path of a script.</summary>
    public static string Script(string name) => Path.Combine(Folder(), name);

    private static string Folder([CallerFilePath] string path = "") =>
        Path.GetFullPath(Path.Combine(Path.GetDirectoryName(path)!, "..", "..", "Kafka", "Clients", "Python"));
}
