using System.Globalization;
using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Cli.Groups;

/// <summary>Parses the topics in <c>--topic</c>: <c>orders</c>, or <c>orders:0,1</c>.</summary>
internal static class TopicSelection
{
    /// <summary>Returns the whole topics and the single partitions; null if there are none of the kind.</summary>
    /// <exception cref="CommandFailedException">A value is malformed, or a topic is given both as a whole and in part.</exception>
    public static (IReadOnlyList<string>? Whole, IReadOnlyList<TopicPartition>? Partitions) Parse(IEnumerable<string> topics)
    {
        var whole = new List<string>();
        var partitions = new List<TopicPartition>();
        foreach (var text in topics)
        {
            var colon = text.IndexOf(':', StringComparison.Ordinal);
            var topic = colon < 0 ? text : text[..colon];
            if (topic.Length == 0)
                throw Wrong(text);
            if (colon < 0)
                whole.Add(topic);
            else
                partitions.AddRange(text[(colon + 1)..].Split(',').Select(number => new TopicPartition(topic, Number(number, text))));
        }
        if (partitions.Find(partition => whole.Contains(partition.Topic, StringComparer.Ordinal)) is { Topic: { } both })
            throw CommandFailedException.Usage($"--topic names {both} as a whole and in part; name it once.");
        return (whole.Count == 0 ? null : whole, partitions.Count == 0 ? null : partitions);
    }

    private static int Number(string number, string text) =>
        int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out var partition) ? partition : throw Wrong(text);

    private static CommandFailedException Wrong(string text) =>
        CommandFailedException.Usage($"--topic '{text}' is not TOPIC or TOPIC:N,N. Write it like --topic orders, or --topic orders:0,1.");
}
