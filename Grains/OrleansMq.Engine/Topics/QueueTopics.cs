using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace OrleansMq.Topics;

/// <summary>The topics of queues: <c>amqp.QUEUE</c> in the virtual host <c>/</c>, else <c>amqp-HOST.QUEUE</c>. Those of queues that are not
/// durable, which a cluster has too, begin with <c>amqpt</c> instead.</summary>
internal static class QueueTopics
{
    private const string Prefix = "amqp";
    private const string TransientPrefix = "amqpt";

    /// <summary>Returns the topic of a queue. A byte of UTF-8 that topics do not have is escaped as <c>-x</c> and two hexadecimal digits;
    /// so are the underscore, which topics take for a dot, a dash before an x, and a dot of the host. A name that is too long ends in its
    /// hash.</summary>
    public static string NameOf(string virtualHost, string queue, bool isDurable = true)
    {
        var name = StartOf(virtualHost, isDurable ? Prefix : TransientPrefix);
        Append(name, queue, "-.");
        if (name.Length <= TopicName.MaxLength)
            return name.ToString();
        var hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(name.ToString())).AsSpan(0, 16));
        return $"{name.ToString(0, TopicName.MaxLength - hash.Length - 2)}..{hash}";
    }

    /// <summary>Whether a topic has the name of a queue of a virtual host.</summary>
    public static bool IsOfHost(string virtualHost, string topic) =>
        topic.StartsWith(StartOf(virtualHost, Prefix).ToString(), StringComparison.Ordinal)
            || topic.StartsWith(StartOf(virtualHost, TransientPrefix).ToString(), StringComparison.Ordinal);

    /// <summary>Whether a topic has the name of a queue's.</summary>
    public static bool IsOfQueue(string topic)
    {
        // Topics take an underscore for a dot.
        topic = topic.Replace('_', '.');
        return topic.StartsWith($"{Prefix}.", StringComparison.Ordinal) || topic.StartsWith($"{Prefix}-", StringComparison.Ordinal)
            || topic.StartsWith($"{TransientPrefix}.", StringComparison.Ordinal)
            || topic.StartsWith($"{TransientPrefix}-", StringComparison.Ordinal);
    }

    /// <summary>Returns the name of a queue's cursor: a queue that is deleted and declared again has another one.</summary>
    public static string CursorOf(long queueId) => queueId.ToString("x16", CultureInfo.InvariantCulture);

    /// <summary>Whether a cursor is that of a queue.</summary>
    public static bool IsCursor(string name) =>
        name.Length == 16 && name.All(static c => char.IsAsciiHexDigitLower(c));

    private static StringBuilder StartOf(string virtualHost, string prefix)
    {
        var name = new StringBuilder(prefix);
        if (virtualHost != "/")
            Append(name.Append('-'), virtualHost, "-");
        return name.Append('.');
    }

    private static void Append(StringBuilder name, string text, string allowed)
    {
        var octets = Encoding.UTF8.GetBytes(text);
        for (var i = 0; i < octets.Length; i++)
        {
            var c = (char)octets[i];
            var looksEscaped = c == '-' && i + 1 < octets.Length && octets[i + 1] == 'x';
            if (char.IsAsciiLetterOrDigit(c) || (allowed.Contains(c, StringComparison.Ordinal) && !looksEscaped))
                name.Append(c);
            else
                name.Append("-x").Append(octets[i].ToString("x2", CultureInfo.InvariantCulture));
        }
    }
}
