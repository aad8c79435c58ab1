using System.Globalization;
using System.Text;

namespace OrleansMq.Tests.Chaos.Amqp;

/// <summary>The identity of a message within a run: its queue, the publishing channel, and its number among the messages of that channel to
/// that queue.</summary>
internal readonly record struct MessageId(string Queue, int Publisher, int Number)
{
    // Long enough that a damaged body is hardly ever another one's.
    private const int Filler = 100;

    /// <summary>The body of the message, which no other message has.</summary>
    public byte[] ToBody() => Encoding.UTF8.GetBytes($"{this}|{new string((char)('a' + (Number % 26)), Filler)}");

    /// <summary>Returns the identity of a body; null if no message has it.</summary>
    public static MessageId? Of(ReadOnlySpan<byte> body)
    {
        var text = Encoding.UTF8.GetString(body);
        return text.Split('|')[0].Split('/') is [var queue, var publisher, var number]
            && int.TryParse(publisher, CultureInfo.InvariantCulture, out var by)
            && int.TryParse(number, CultureInfo.InvariantCulture, out var at)
            && new MessageId(queue, by, at) is var id && body.SequenceEqual(id.ToBody()) ? id : null;
    }

    public override string ToString() => $"{Queue}/{Publisher}/{Number}";
}
