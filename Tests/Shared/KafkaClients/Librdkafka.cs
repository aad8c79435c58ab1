using System.IO.Compression;
using System.Runtime.InteropServices;

namespace OrleansMq.Tests.Shared;

/// <summary>The native library under Confluent.Kafka. It does not come from the package librdkafka.redist, which is large and missing in
/// some feeds. The first found is used: that in the published Python wheel under OMQ_PEERS, the one built with
/// @confluentinc/kafka-javascript, the system's.</summary>
internal static class Librdkafka
{
    private static readonly Lazy<nint> Loaded = new(Load);

    /// <summary>Makes Confluent.Kafka usable. Skips the test if librdkafka is missing or too old.</summary>
    /// <param name="atLeast">The required version, as major.minor; Confluent.Kafka's consumer needs 2.1.</param>
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
        // Its other libraries lie beside it, where it looks for them. Loaded libraries need no files any more.
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
