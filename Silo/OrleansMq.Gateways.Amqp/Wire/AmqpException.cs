using System.Text;

namespace OrleansMq.Gateways.Amqp.Wire;

/// <summary>An error that a client is told: it ends a channel or the connection, as its code says.</summary>
/// <param name="code">The code.</param>
/// <param name="detail">What is wrong, without the code's name.</param>
/// <param name="method">The method that failed; none where no method did, or where the caller knows it.</param>
internal sealed class AmqpException(ReplyCode code, string detail, MethodId method = default) : Exception($"{code.NameOf()} - {detail}")
{
    /// <summary>The code.</summary>
    public ReplyCode Code { get; } = code;

    /// <summary>The method that failed.</summary>
    public MethodId Method { get; } = method;

    /// <summary>This error as that of a method, unless it names one.</summary>
    public AmqpException For(MethodId failed) => Method == default ? new AmqpException(Code, detail, failed) : this;

    /// <summary>The text on the wire: at most 255 bytes, cut between two characters.</summary>
    public string ReplyText => Cut(Message);

    /// <summary>Cuts a text to what a short string takes, between two characters.</summary>
    public static string Cut(string text)
    {
        if (text.Length * 3 <= FieldWriter.MaxShortStringBytes || Encoding.UTF8.GetByteCount(text) <= FieldWriter.MaxShortStringBytes)
            return text;
        var (bytes, length) = (0, 0);
        foreach (var rune in text.EnumerateRunes())
        {
            if ((bytes += rune.Utf8SequenceLength) > FieldWriter.MaxShortStringBytes)
                break;
            length += rune.Utf16SequenceLength;
        }
        return text[..length];
    }
}
