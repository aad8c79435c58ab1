using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Wire;

namespace OrleansMq.Gateways.Amqp.Channels;

/// <summary>What a channel sends, in the order in which it was added. Adding takes no lock of the connection, so that a channel may add
/// under its own; <see cref="Flush"/> is called without one, on any thread: a fault of it closes the client's connection, and reaches no
/// caller. One thread sends what all have added: contents take room at the client from when they are added. Thread safe.</summary>
/// <param name="client">The client.</param>
/// <param name="log">The log.</param>
internal sealed class ChannelOutput(IChannelClient client, EngineLog log)
{
    private readonly Queue<(Action<IChannelClient> Send, int Bytes)> _queue = new();
    private bool _isSending;

    /// <summary>Adds a method.</summary>
    public void Add<T>(T method)
        where T : IMethod => Add(client => client.Send(method), 0);

    /// <summary>Adds a method and its content, whose memory must not change.</summary>
    public void Add<T>(T method, ContentProperties properties, ReadOnlyMemory<byte> body)
        where T : IMethod => Add(client => client.Send(method, properties, body.Span), properties.Bytes.Length + body.Length);

    /// <summary>Adds a method, and sends.</summary>
    public void Send<T>(T method)
        where T : IMethod
    {
        Add(method);
        Flush();
    }

    /// <summary>Sends what was added.</summary>
    public void Flush()
    {
        lock (_queue)
        {
            if (_isSending)
                return;
            _isSending = true;
        }
        // What has collected goes to the client together.
        var isHeld = false;
        try
        {
            while (TryTake(out var send, out var isLast))
            {
                if (!isHeld && !isLast)
                {
                    client.Hold();
                    isHeld = true;
                }
                Send(send);
                if (isHeld && isLast)
                {
                    isHeld = false;
                    client.Release();
                }
            }
        }
        finally
        {
            if (isHeld)
                client.Release();
        }
    }

    private void Send(Action<IChannelClient> send)
    {
        try
        {
            send(client);
        }
        catch (Exception fault)
        {
            // A bug, such as a method that no frame can carry. The caller may be a timer, or a publisher of another connection.
            log.Write(EngineLogLevel.Error, $"Channel {client.Number} could not send a method; its connection is closed.", fault);
            client.Fail(new AmqpException(ReplyCode.InternalError, "the broker met a fault; see its log"));
        }
    }

    private void Add(Action<IChannelClient> send, int bytes)
    {
        if (bytes > 0)
            client.Expect(bytes);
        lock (_queue)
            _queue.Enqueue((send, bytes));
    }

    private bool TryTake(out Action<IChannelClient> send, out bool isLast)
    {
        int bytes;
        lock (_queue)
        {
            _isSending = _queue.TryDequeue(out var next);
            (send, bytes) = next;
            isLast = _queue.Count == 0;
            if (!_isSending)
                return false;
        }
        if (bytes > 0)
            client.Expect(-bytes);
        return true;
    }
}
