using OrleansMq.Gateways.Amqp.Channels;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.VirtualHosts;
using FieldTable = OrleansMq.Gateways.Amqp.Wire.FieldTable;

namespace OrleansMq.Gateways.Amqp.Streams;

/// <summary>The kinds of <c>x-stream-offset</c>.</summary>
internal enum StreamStartKind
{
    /// <summary>Never used.</summary>
    None = 0,
    /// <summary>What is published from now on: the default.</summary>
    Next,
    /// <summary>The first message that the stream has.</summary>
    First,
    /// <summary>The last batch of messages.</summary>
    Last,
    /// <summary>An offset.</summary>
    Offset,
    /// <summary>The first message at or after a time, in milliseconds since 1970.</summary>
    Time,
}

/// <summary>Where a consumer of a stream begins.</summary>
/// <param name="Kind">The kind.</param>
/// <param name="Value">The offset, or the time.</param>
internal readonly record struct StreamStart(StreamStartKind Kind, long Value = 0)
{
    /// <summary>Reads the argument <c>x-stream-offset</c> of a consumer.</summary>
    /// <param name="arguments">The consumer's arguments.</param>
    /// <param name="now">The time that ages count from.</param>
    /// <exception cref="AmqpException">It is malformed.</exception>
    public static StreamStart Of(FieldTable arguments, DateTimeOffset now)
    {
        if (arguments.Find("x-stream-offset"u8) is not { } value)
            return new(StreamStartKind.Next);
        if (value.Integer is { } offset)
            return offset >= 0 ? new(StreamStartKind.Offset, offset) : throw Malformed($"{offset} is below 0");
        if (value.Timestamp is { } seconds)
            return new(StreamStartKind.Time, Math.Clamp(seconds, 0, DateTimeOffset.MaxValue.ToUnixTimeSeconds()) * 1000);
        return value.Text switch
        {
            "next" => new(StreamStartKind.Next),
            "first" => new(StreamStartKind.First),
            "last" => new(StreamStartKind.Last),
            { } text when QueueArguments.ParseAge(text) is { } age =>
                new(StreamStartKind.Time, Math.Max(now.ToUnixTimeMilliseconds() - (long)age.TotalMilliseconds, 0)),
            { } text => throw Malformed($"'{text}'"),
            null => throw Malformed($"a value of type '{Publication.TypeNameOf(value)}'"),
        };
    }

    private static AmqpException Malformed(string found) => new(ReplyCode.PreconditionFailed,
        $"invalid arg 'x-stream-offset': {found}; allowed are first, last, next, an offset, a timestamp, and an age such as 7D");
}
