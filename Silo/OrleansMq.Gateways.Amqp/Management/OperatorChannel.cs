using System.Threading.Channels;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Wire;

namespace OrleansMq.Gateways.Amqp.Management;

/// <summary>A channel without a connection: an operator publishes and gets by it, under the rules and the rights of clients.</summary>
internal sealed class OperatorChannel : IChannelClient, IAsyncDisposable
{
    private readonly Channel<Received> _received = System.Threading.Channels.Channel.CreateUnbounded<Received>();
    private readonly IAmqpSession _session;
    private readonly IAmqpChannel _channel;

    private OperatorChannel(IAmqpSession session, AmqpClient client)
    {
        (_session, Client) = (session, client);
        _channel = session.CreateChannel(this);
    }

    /// <inheritdoc/>
    public ushort Number => 1;

    /// <inheritdoc/>
    public AmqpClient Client { get; }

    /// <inheritdoc/>
    public bool IsFull => false;

    /// <inheritdoc/>
    public bool CanDeliver => true;

    /// <inheritdoc/>
    /// <remarks>It ends after the answers to its commands.</remarks>
    public Task Ending { get; } = new TaskCompletionSource().Task;

    /// <summary>Opens one.</summary>
    /// <exception cref="AmqpException">The user may not.</exception>
    public static async Task<OperatorChannel> OpenAsync(IAmqpAccess access, string virtualHost, AmqpClient client)
    {
        client.VirtualHost = virtualHost;
        var channel = new OperatorChannel(await access.OpenAsync(virtualHost, client).ConfigureAwait(false), client);
        await channel._channel.OpenAsync().ConfigureAwait(false);
        return channel;
    }

    /// <summary>Handles a method.</summary>
    /// <exception cref="AmqpException">It is refused.</exception>
    public ValueTask HandleAsync(IMethod method, AmqpContent? content = null) => _channel.HandleAsync(method, content);

    /// <summary>Returns what the channel sends next.</summary>
    /// <exception cref="AmqpException">The channel has failed.</exception>
    public ValueTask<Received> ReceiveAsync(CancellationToken cancellationToken) => _received.Reader.ReadAsync(cancellationToken);

    /// <inheritdoc/>
    public void Send<T>(in T method)
        where T : IMethod => _received.Writer.TryWrite(new Received(method, default, default));

    /// <inheritdoc/>
    public void Send<T>(in T method, ContentProperties properties, ReadOnlySpan<byte> body)
        where T : IMethod => _received.Writer.TryWrite(new Received(method, new ContentProperties(properties.Bytes.ToArray()),
            body.ToArray()));

    /// <inheritdoc/>
    public void Hold()
    {
        // What is sent is received at once.
    }

    /// <inheritdoc/>
    public void Release()
    {
        // See Hold.
    }

    /// <inheritdoc/>
    public Task WaitForRoomAsync() => Task.CompletedTask;

    /// <inheritdoc/>
    public void Fail(AmqpException fault) => _received.Writer.TryComplete(fault);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        try
        {
            await _channel.EndAsync().ConfigureAwait(false);
        }
        finally
        {
            await _session.EndAsync().ConfigureAwait(false);
        }
    }

    /// <summary>What the channel sent.</summary>
    /// <param name="Method">The method.</param>
    /// <param name="Properties">The properties of its content.</param>
    /// <param name="Body">The body of its content.</param>
    internal readonly record struct Received(IMethod Method, ContentProperties Properties, ReadOnlyMemory<byte> Body);
}
