namespace OrleansMq.Client;

/// <summary>How a record says that it need not survive a power cut.</summary>
internal static class Transient
{
    /// <summary><see cref="MessageHeaders.Persistent"/>, <c>false</c>.</summary>
    public static readonly RecordHeader Header = RecordHeaders.Text(MessageHeaders.Persistent, "false");
}
