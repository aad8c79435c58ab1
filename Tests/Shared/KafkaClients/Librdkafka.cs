using System.IO.Compression;
using System.Runtime.InteropServices;

namespace OrleansMq.Tests.Shared;

/// <summary>
/// The native library under Confluent.Kafka. It is not taken from the package librdkafka.redist, which not every feed has and which is
/// large: the one inside of the published Python wheel is used where real peers are (OMQ_PEERS), else the one that
/// @confluentinc/kafka-javascript was built with, else the system's.
/// </summary>
internal static class Librdkafka
{
    private static readonly Lazy<nint> Loaded = new(Load);

    /// <summary>Makes Confluent.Kafka usable; the test is skipped where there is no librdkafka, or only one that is too old.</summary>
    /// <param name="atLeast">The version that is needed, as major.minor; Confluent.Kafka's consumer needs 2.1.</param>
    public static void Require(string atLeast = "2.1")
    {
        Skip.If(Loaded.Value == 0,
            "There is no librdkafka: install librdkafka1 (2.1 or later), or set OMQ_PEERS to a folder with confluent_kafka's wheel.");
        var version = Confluent.Kafka.Library.VersionString;
        Skip.If(Version.Parse(version.Split('-')[0]) < Version.Parse(atLeast), $"librdkafka {version} is older than {atLeast}.");
    }

    private static nint Load()
    {
        if (!TryLoadFromWheel(out var library)
            && !NativeLibrary.TryLoad(Path.Combine(NodePackages.ConfluentFolder, "librdkafka", "lib", "librdkafka.so.1"), out library)
            && !NativeLibrary.TryLoad("librdkafka.so.1", out library))
            return 0;
        NativeLibrary.SetDllImportResolver(typeof(Confluent.Kafka.Library).Assembly,
            (name, _, _) => name.Contains("rdkafka", StringComparison.Ordinal) ? library : 0);
        return library;
    }

    private static bool TryLoadFromWheel(out nint library)
    {
        library = 0;
        var wheels = Path.Combine(Environment.GetEnvironmentVariable("OMQ_PEERS") ?? "", "wheels");
        if (!OperatingSystem.IsLinux() || RuntimeInformation.OSArchitecture != Architecture.X64 || !Directory.Exists(wheels))
            return false;
        if (Directory.EnumerateFiles(wheels, "confluent_kafka-*manylinux*x86_64.whl").FirstOrDefault() is not { } wheel)
            return false;
        // Its other libraries lie beside it, and it looks for them there. What is loaded needs no file any more.
        var folder = Directory.CreateTempSubdirectory("omq-librdkafka-").FullName;
        try
        {
            using (var archive = ZipFile.OpenRead(wheel))
            {
                foreach (var entry in archive.Entries.Where(static entry =>
                    entry.FullName.StartsWith("confluent_kafka.libs/", StringComparison.Ordinal) && entry.Name.Length > 0))
                    entry.ExtractToFile(Path.Combine(folder, entry.Name));
            }
            return Directory.EnumerateFiles(folder, "librdkafka*").FirstOrDefault() is { } file && NativeLibrary.TryLoad(file, out library);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
