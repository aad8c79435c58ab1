using System.Text;

namespace OrleansMq.Topics;

/// <summary>Generates the reference of topic configuration in the documentation, from the table that the broker validates with.</summary>
internal static class TopicConfigReference
{
    /// <summary>Returns two Markdown tables: the keys that can be set, and Kafka's other keys.</summary>
    public static string ToMarkdown()
    {
        var text = new StringBuilder();
        text.Append("| key | default | allowed | meaning |\n|---|---|---|---|\n");
        foreach (var key in TopicConfigKeys.All.Where(key => key.IsImplemented).OrderBy(key => key.Name, StringComparer.Ordinal))
        {
            var unit = key.Unit.Length == 0 ? "" : $" {key.Unit}";
            text.Append($"| `{key.Name}` | {Readable(key.Format(TopicConfig.Default))}{unit} | {Readable(key.Allowed)} | "
                + $"{key.Documentation} |\n");
        }
        text.Append("\nKafka's other keys are refused unless set to Kafka's default, since the broker would not do what they say:\n\n");
        text.Append("| key | accepted | meaning in Kafka |\n|---|---|---|\n");
        foreach (var key in TopicConfigKeys.All.Where(key => !key.IsImplemented).OrderBy(key => key.Name, StringComparer.Ordinal))
            text.Append($"| `{key.Name}` | {key.Allowed} | {key.Documentation} |\n");
        return text.ToString();
    }

    // Nineteen digits are unreadable; the value means "no limit".
    private static string Readable(string value) => value.Replace("9223372036854775807", "2^63-1").Replace("2147483647", "2^31-1");
}
