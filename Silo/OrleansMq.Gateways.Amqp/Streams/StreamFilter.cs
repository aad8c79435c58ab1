using System.Text;
using OrleansMq.Gateways.Amqp.Wire;

namespace OrleansMq.Gateways.Amqp.Streams;

/// <summary>Which messages of a stream a consumer wants, by their header <see cref="Header"/>. Each message is tested, so that the consumer
/// receives no other.</summary>
internal sealed class StreamFilter
{
    /// <summary>The header of a message with its filter value.</summary>
    public const string Header = "x-stream-filter-value";

    private static readonly byte[] HeaderName = Encoding.UTF8.GetBytes(Header);

    private readonly byte[][] _values;
    private readonly bool _takesUnfiltered;

    private StreamFilter(byte[][] values, bool takesUnfiltered) => (_values, _takesUnfiltered) = (values, takesUnfiltered);

    /// <summary>Reads the arguments <c>x-stream-filter</c> and <c>x-stream-match-unfiltered</c> of a consumer.</summary>
    /// <returns>Null: it wants all.</returns>
    /// <exception cref="AmqpException">They are malformed.</exception>
    public static StreamFilter? Of(FieldTable arguments)
    {
        if (arguments.Find("x-stream-filter"u8) is not { } filter)
            return null;
        var values = (filter.Values?.ToArray() ?? [filter]).Select(static value => value.Text is { } text ? Encoding.UTF8.GetBytes(text)
            : throw Malformed("x-stream-filter", "a text or an array of texts")).ToArray();
        if (values.Length == 0)
            throw Malformed("x-stream-filter", "a text or an array of texts that is not empty");
        return new StreamFilter(values, arguments.Find("x-stream-match-unfiltered"u8) switch
        {
            null => false,
            { } given => given.Boolean ?? throw Malformed("x-stream-match-unfiltered", "true or false"),
        });
    }

    /// <summary>Whether the consumer wants a message.</summary>
    /// <param name="headers">The headers of its record.</param>
    public bool Matches(RecordHeader[] headers)
    {
        foreach (var (name, value) in headers)
        {
            if (name.Span.SequenceEqual(HeaderName))
                return value is { } bytes && Array.Exists(_values, wanted => bytes.Span.SequenceEqual(wanted));
        }
        return _takesUnfiltered;
    }

    private static AmqpException Malformed(string argument, string allowed) =>
        new(ReplyCode.PreconditionFailed, $"invalid arg '{argument}': it must be {allowed}");
}
