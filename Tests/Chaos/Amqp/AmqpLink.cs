using System.Net;
using System.Net.Sockets;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;
using RabbitMQ.Client.Exceptions;

namespace OrleansMq.Tests.Chaos.Amqp;

/// <summary>A connection of RabbitMQ's client to one broker. It can be cut as by the death of its process: what is on its way is
/// lost.</summary>
internal sealed class AmqpLink : IAsyncDisposable
{
    // A paused broker accepts connections and answers nothing.
    private static readonly TimeSpan ConnectPatience = TimeSpan.FromSeconds(5);
    // A broker answers within it, or the outcome is unknown. Longer than a failover.
    private static readonly TimeSpan AnswerPatience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Heartbeat = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan ClosePatience = TimeSpan.FromSeconds(5);

    private readonly TaskCompletionSource _broken = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Action<string> _refused;
    private IConnection? _connection;
    private Socket? _socket;

    private AmqpLink(Action<string> refused) => _refused = refused;

    /// <summary>Completes when it is broken or closed, or its channel is.</summary>
    public Task Broken => _broken.Task;

    /// <summary>Connects.</summary>
    /// <param name="address">HOST:PORT of a broker.</param>
    /// <param name="name">The connection's name.</param>
    /// <param name="refused">Hears what a broker refuses for a reason that is no fault of the cluster's.</param>
    /// <param name="cancellationToken">Gives up.</param>
    public static async Task<AmqpLink> OpenAsync(string address, string name, Action<string> refused, CancellationToken cancellationToken)
    {
        var link = new AmqpLink(refused);
        try
        {
            var broker = IPEndPoint.Parse(address);
            link._connection = await new ConnectionFactory
            {
                HostName = $"{broker.Address}",
                Port = broker.Port,
                ClientProvidedName = name,
                AutomaticRecoveryEnabled = false,
                RequestedConnectionTimeout = ConnectPatience,
                HandshakeContinuationTimeout = ConnectPatience,
                ContinuationTimeout = AnswerPatience,
                RequestedHeartbeat = Heartbeat,
                SocketFactory = family => new TcpClientAdapter(link._socket =
                    new Socket(family, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true }),
            }.CreateConnectionAsync(cancellationToken);
            link._connection.ConnectionShutdownAsync += link.EndedAsync;
            return link;
        }
        catch (Exception fault)
        {
            for (var cause = fault; cause is not null; cause = cause.InnerException)
            {
                if (cause is OperationInterruptedException { ShutdownReason: { } reason })
                    link.Hear(reason);
                else if (cause is AuthenticationFailureException)
                    refused($"{name}: {cause.Message}");
            }
            link.Cut();
            throw;
        }
    }

    /// <summary>Whether a call failed with its connection or channel: its outcome is unknown.</summary>
    public static bool IsBroken(Exception fault) => fault is RabbitMQClientException or IOException or SocketException or TimeoutException
        or OperationCanceledException or ObjectDisposedException;

    /// <summary>Opens a channel.</summary>
    public async Task<IChannel> OpenChannelAsync(bool confirms, CancellationToken cancellationToken)
    {
        var channel = await _connection!.CreateChannelAsync(new CreateChannelOptions(publisherConfirmationsEnabled: confirms,
            publisherConfirmationTrackingEnabled: false), cancellationToken);
        channel.ChannelShutdownAsync += EndedAsync;
        return channel;
    }

    /// <summary>Breaks it without a farewell.</summary>
    public void Cut()
    {
        try
        {
            _socket?.Close(0);
        }
        catch (SocketException)
        {
            // Closed already.
        }
    }

    /// <summary>Closes it in order.</summary>
    public Task CloseAsync() => _connection!.CloseAsync(200, "done", ClosePatience, abort: false);

    public async ValueTask DisposeAsync()
    {
        Cut();
        if (_connection is null)
            return;
        try
        {
            await _connection.DisposeAsync();
        }
        catch (Exception fault) when (IsBroken(fault))
        {
            // It was broken.
        }
    }

    private Task EndedAsync(object sender, ShutdownEventArgs reason)
    {
        Hear(reason);
        _broken.TrySetResult();
        return Task.CompletedTask;
    }

    // A broker that stops, or that does not know an outcome, closes a connection.
    private void Hear(ShutdownEventArgs reason)
    {
        if (reason.Initiator == ShutdownInitiator.Peer && reason.ReplyCode is not (Constants.ReplySuccess or Constants.ConnectionForced
            or Constants.InternalError))
            _refused($"{_connection?.ClientProvidedName}: {reason.ReplyCode} {reason.ReplyText}");
    }
}
