using System.Threading.Channels;
using RabbitMQ.Client;

namespace OrleansMq.Cli.Amqp;

/// <summary>A channel of a connection to the target. What happens to it is told with its number: events of one that was left mean
/// nothing.</summary>
internal sealed class ShovelTarget : IAsyncDisposable
{
    private static readonly TimeSpan CloseTimeout = TimeSpan.FromSeconds(3);

    private readonly IConnection _connection;
    private readonly IChannel _channel;
    private readonly string _user;
    private readonly CancellationTokenSource _lost = new();

    private ShovelTarget(int number, string user, IConnection connection, IChannel channel, ChannelWriter<ShovelEvent> events)
    {
        (_user, _connection, _channel) = (user, connection, channel);
        _channel.ChannelShutdownAsync += (_, reason) =>
        {
            events.TryWrite(new ShovelEvent.TargetLost(number, reason));
            return _lost.CancelAsync();
        };
        _channel.BasicAcksAsync += (_, ack) => Tell(new ShovelEvent.Confirmed(number, ack.DeliveryTag, ack.Multiple));
        _channel.BasicNacksAsync += (_, nack) => Tell(new ShovelEvent.Nacked(number, nack.DeliveryTag, nack.Multiple));
        _channel.BasicReturnAsync += (_, returned) => Tell(new ShovelEvent.Returned(number, returned.Exchange, returned.RoutingKey));
        _connection.ConnectionBlockedAsync += (_, blocked) =>
        {
            Console.Error.WriteLine($"omq: waiting: the target takes no messages: {blocked.Reason}");
            return Task.CompletedTask;
        };

        Task Tell(ShovelEvent happened)
        {
            events.TryWrite(happened);
            return Task.CompletedTask;
        }
    }

    /// <summary>Connects.</summary>
    /// <param name="number">Its number.</param>
    /// <param name="factory">The broker.</param>
    /// <param name="events">Takes what happens.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public static async Task<ShovelTarget> OpenAsync(int number, ConnectionFactory factory, ChannelWriter<ShovelEvent> events,
        CancellationToken cancellationToken)
    {
        var connection = await factory.CreateConnectionAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            // Numbers are counted here: confirms are awaited in bulk, and the order of publishes is that of deliveries.
            var channel = await connection.CreateChannelAsync(new CreateChannelOptions(publisherConfirmationsEnabled: true,
                publisherConfirmationTrackingEnabled: false), cancellationToken).ConfigureAwait(false);
            return new ShovelTarget(number, factory.UserName, connection, channel, events);
        }
        catch
        {
            await connection.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Publishes a message.</summary>
    /// <exception cref="IOException">The connection is lost.</exception>
    public async ValueTask PublishAsync(ShovelRoute route, ShovelEvent.Delivered message)
    {
        if (_lost.IsCancellationRequested)
            throw new IOException("the connection to the target is lost");
        try
        {
            // The library leaves a publish waiting for ever that waits to be written when the connection ends.
            await _channel.BasicPublishAsync(route.Exchange, route.RoutingKey ?? message.RoutingKey, mandatory: true,
                ShovelRoute.Adapt(message.Properties, _user), message.Body, _lost.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is OperationCanceledException or ChannelClosedException)
        {
            throw new IOException("the connection to the target is lost", e);
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        // What was not confirmed counts as not stored. A target that is blocked answers nothing.
        await _connection.AbortAsync(CloseTimeout).ConfigureAwait(false);
        await _connection.DisposeAsync().ConfigureAwait(false);
    }
}
