using System.Runtime.CompilerServices;

namespace OrleansMq.Tests.Cluster.Serialization;

/// <summary>Compares values with a file beside the tests. With <c>OMQ_WRITE_CONTRACT=1</c> the file is written instead, for an intended
/// change.</summary>
internal static class Contract
{
    public static void Check(string file, IEnumerable<string> lines, [CallerFilePath] string test = "")
    {
        var path = Path.Combine(Path.GetDirectoryName(test)!, file);
        var actual = lines.ToArray();
        if (Environment.GetEnvironmentVariable("OMQ_WRITE_CONTRACT") == "1")
            File.WriteAllLines(path, actual);
        Assert.Equal(File.ReadAllLines(path), actual);
    }
}
