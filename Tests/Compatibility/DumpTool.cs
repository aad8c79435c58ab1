using System.Text.RegularExpressions;

namespace OrleansMq.Tests.Compatibility;

/// <summary>Runs Kafka's <c>kafka-dump-log</c> and parses its output.</summary>
internal static partial class DumpTool
{
    private static readonly string[] Complaints =
        ["mismatch", "out of order", "non-consecutive", "could not", "corrupt", "invalid bytes", "exception", "isvalid: false"];

    public static Task<PeerOutput> RunAsync(IEnumerable<string> files, params string[] options) =>
        KafkaPeer.RunAsync("org.apache.kafka.tools.DumpLogSegments", [.. options, "--files", string.Join(',', files)]);

    /// <summary>Fails if the tool reported a problem. It exits with 0 even then.</summary>
    /// <param name="output">The tool's output.</param>
    /// <param name="allowGaps">Whether offsets may be missing, as after compaction.</param>
    public static void AssertNoComplaint(PeerOutput output, bool allowGaps = false)
    {
        Assert.Contains("Dumping ", output.Text);
        // A flaw of the tool: it says that a segment not starting at 0 follows -1.
        var errors = (allowGaps ? Gaps() : FirstOffsetOfSegment()).Replace(output.Errors, "");
        var all = output.Text + errors;
        Assert.True(!Complaints.Any(complaint => all.Contains(complaint, StringComparison.OrdinalIgnoreCase)), errors);
    }

    [GeneratedRegex(@"^baseOffset: (?<offset>\d+) .*?count: (?<count>\d+) .*?compresscodec: (?<codec>\w+) .*?isvalid: (?<valid>\w+)",
        RegexOptions.Multiline)]
    public static partial Regex BatchLine();

    [GeneratedRegex(@"^\| offset: .*$", RegexOptions.Multiline)]
    public static partial Regex RecordLine();

    [GeneratedRegex(@"^offset: \d+ position: \d+", RegexOptions.Multiline)]
    public static partial Regex IndexEntry();

    [GeneratedRegex(@"^timestamp: \d+ offset: \d+", RegexOptions.Multiline)]
    public static partial Regex TimeIndexEntry();

    [GeneratedRegex(@"passed sanity check", RegexOptions.Multiline)]
    public static partial Regex SanityLine();

    [GeneratedRegex(@"Non-consecutive offsets in \S*?/0*(\d+)\.log\s+-1 is followed by \1\s")]
    private static partial Regex FirstOffsetOfSegment();

    [GeneratedRegex(@"Non-consecutive offsets in \S*\.log\n(\s+-?\d+ is followed by \d+\n)+")]
    private static partial Regex Gaps();
}
