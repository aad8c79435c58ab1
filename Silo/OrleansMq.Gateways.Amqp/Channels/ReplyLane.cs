using System.Text;
using OrleansMq.Gateways.Amqp.Queues;

namespace OrleansMq.Gateways.Amqp.Channels;

/// <summary>
/// Sends answers to another broker in their order, one frame at a time: those that come while one is on its way share the next. What waits
/// is limited: answers beyond that are dropped, as those to a client that does not receive. Thread safe.
/// </summary>
/// <param name="send">Sends a frame.</param>
internal sealed class ReplyLane(Func<ReadOnlyMemory<byte>, Task<bool>> send)
{
    /// <summary>The most bytes that wait, unless one answer has more.</summary>
    internal const int MaxBytes = 16 << 20;

    private const int MaxFrameBytes = 1 << 20;

    private readonly Lock _lock = new();
    private readonly Queue<AmqpMessage> _waiting = new();
    private long _bytes;
    private bool _isSending;

    /// <summary>Sends an answer.</summary>
    public void Add(AmqpMessage message)
    {
        lock (_lock)
        {
            if (_waiting.Count > 0 && _bytes + message.Bytes > MaxBytes)
                return;
            _waiting.Enqueue(message);
            _bytes += message.Bytes;
            if (_isSending)
                return;
            _isSending = true;
        }
        _ = Task.Run(SendAllAsync);
    }

    private async Task SendAllAsync()
    {
        while (Take() is { Count: > 0 } batch)
        {
            // One that fails is lost with its answers.
            await ((Task)send(ReplyFrames.Replies(batch))).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private List<AmqpMessage> Take()
    {
        lock (_lock)
        {
            var batch = new List<AmqpMessage>();
            for (var bytes = 0L; _waiting.TryPeek(out var next) && (batch.Count == 0 || bytes + next.Bytes <= MaxFrameBytes);)
            {
                batch.Add(_waiting.Dequeue());
                bytes += next.Bytes;
                _bytes -= next.Bytes;
            }
            _isSending = batch.Count > 0;
            return batch;
        }
    }
}

/// <summary>
/// What brokers send each other about direct replies.
/// <code>
/// question  0, routing key (UTF-8)
/// replies   1, then each as MessageFields writes it
/// </code>
/// </summary>
internal static class ReplyFrames
{
    private const byte QuestionKind = 0;
    private const byte RepliesKind = 1;

    /// <summary>Asks whether a channel is there.</summary>
    public static ReadOnlyMemory<byte> Question(string key) => (byte[])[QuestionKind, .. Encoding.UTF8.GetBytes(key)];

    /// <summary>Returns the routing key that a frame asks for; null if it is no question.</summary>
    public static string? ReadQuestion(ReadOnlyMemory<byte> frame) =>
        frame.Span is [QuestionKind, .. var key] ? Encoding.UTF8.GetString(key) : null;

    /// <summary>Returns a frame of answers.</summary>
    public static ReadOnlyMemory<byte> Replies(IReadOnlyCollection<AmqpMessage> messages)
    {
        using var frame = new MemoryStream();
        frame.WriteByte(RepliesKind);
        foreach (var message in messages)
            MessageFields.WriteMessage(frame, message);
        return frame.ToArray();
    }

    /// <summary>Returns the answers of a frame; none if it is something else.</summary>
    public static List<AmqpMessage> ReadReplies(ReadOnlyMemory<byte> frame)
    {
        var messages = new List<AmqpMessage>();
        if (frame.Span is not [RepliesKind, ..])
            return messages;
        for (var rest = frame[1..]; !rest.IsEmpty;)
            messages.Add(MessageFields.ReadMessage(ref rest));
        return messages;
    }
}
