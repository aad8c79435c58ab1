using System.Globalization;
using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Cli.Groups;

/// <summary>A file of offsets. Each line is <c>TOPIC,PARTITION,OFFSET</c>; empty lines and those that begin with <c>#</c> are
/// skipped.</summary>
internal static class OffsetFile
{
    /// <summary>Reads all lines.</summary>
    /// <exception cref="CommandFailedException">A line is malformed, there is no line, or a partition occurs twice; the message gives the
    /// line.</exception>
    public static Dictionary<TopicPartition, long> Parse(TextReader lines)
    {
        var offsets = new Dictionary<TopicPartition, long>();
        for (var number = 1; lines.ReadLine() is { } line; number++)
        {
            if (string.IsNullOrWhiteSpace(line) || line.StartsWith('#'))
                continue;
            if (line.Split(',', StringSplitOptions.TrimEntries) is not [{ Length: > 0 } topic, var partitionText, var offsetText]
                || !int.TryParse(partitionText, NumberStyles.None, CultureInfo.InvariantCulture, out var partition)
                || !long.TryParse(offsetText, NumberStyles.None, CultureInfo.InvariantCulture, out var offset))
                throw CommandFailedException.Usage($"--from-file, line {number}: '{line}' is not TOPIC,PARTITION,OFFSET. Write it like "
                    + "orders,0,42.");
            if (!offsets.TryAdd(new TopicPartition(topic, partition), offset))
                throw CommandFailedException.Usage($"--from-file, line {number}: {topic}-{partition} occurs twice; list it once.");
        }
        return offsets.Count > 0
            ? offsets : throw CommandFailedException.Usage("--from-file has no lines. Write one per partition, like orders,0,42.");
    }
}
