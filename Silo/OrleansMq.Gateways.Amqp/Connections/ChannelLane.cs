using System.Diagnostics;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;

namespace OrleansMq.Gateways.Amqp.Connections;

/// <summary>
/// The commands of one channel, handled one at a time in their order: open, the methods, and the end. After a command that failed the
/// others are dropped. The queue is guarded by the connection, which runs the lane while there is something in it.
/// </summary>
/// <param name="state">The channel's state.</param>
/// <param name="owner">The connection.</param>
/// <param name="create">Creates the channel, which learns when its end waits.</param>
internal sealed class ChannelLane(ChannelState state, IChannelOwner owner, Func<Task, IAmqpChannel> create)
{
    private readonly TaskCompletionSource _ending = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Queue<ConnectionAction> _queue = new();
    private bool _isRunning;
    private bool _hasFailed;
    private volatile IAmqpChannel? _channel;

    /// <summary>Adds a command. Returns whether <see cref="RunAsync"/> must be called. Under the connection's lock.</summary>
    public bool Add(in ConnectionAction action)
    {
        _queue.Enqueue(action);
        if (action.Kind == ActionKind.EndChannel)
            _ending.TrySetResult();
        var mustRun = !_isRunning;
        _isRunning = true;
        return mustRun;
    }

    /// <summary>Takes the next command; false where there is none, and the lane rests. Under the connection's lock.</summary>
    public bool TryTake(out ConnectionAction action) => _isRunning = _queue.TryDequeue(out action);

    /// <summary>Describes the channel; null before it is created.</summary>
    public ChannelDescription? Describe() => _channel?.Describe();

    /// <summary>Handles commands until there is none.</summary>
    public async Task RunAsync()
    {
        while (owner.TryTake(this, out var action))
        {
            if (action.Kind == ActionKind.EndChannel)
                await EndAsync().ConfigureAwait(false);
            else
                await HandleAsync(action).ConfigureAwait(false);
        }
    }

    private async Task HandleAsync(ConnectionAction action)
    {
        try
        {
            if (_hasFailed)
                return;
            if (action.Kind == ActionKind.OpenChannel)
            {
                _channel = create(_ending.Task);
                await _channel.OpenAsync().ConfigureAwait(false);
                owner.Opened(state);
                return;
            }
            // What is queued already is handled no faster than the client takes the answers.
            await owner.WaitForRoomAsync().ConfigureAwait(false);
            switch (action.Method!)
            {
                case AccessRequest:
                    owner.Send(state, new AccessRequestOk(1));
                    break;
                case ChannelFlow { Active: true }:
                    owner.Send(state, new ChannelFlowOk(true));
                    break;
                case ChannelFlow:
                    throw new AmqpException(ReplyCode.NotImplemented, "active=false");
                default:
                    await DispatchAsync(_channel!, action).ConfigureAwait(false);
                    break;
            }
        }
        catch (AmqpException fault)
        {
            Fail(fault.For(IdOf(action)));
        }
        catch (Exception fault)
        {
            // A bug, or a fault of the environment that the channel has no error for.
            owner.Log(EngineLogLevel.Error, $"'{IdOf(action)}' could not be handled; the connection is closed.", fault);
            Fail(new AmqpException(ReplyCode.InternalError, "the broker met a fault; see its log", IdOf(action)));
        }
        finally
        {
            action.Content?.Dispose();
            if (action.Kind == ActionKind.Handle)
                owner.Handled(action.Bytes);
        }
    }

    // The time until a method waits for the first time is the client's, as of requests by other protocols.
    private ValueTask DispatchAsync(IAmqpChannel channel, in ConnectionAction action)
    {
        if (!owner.ChargesTime)
            return channel.HandleAsync(action.Method!, action.Content);
        var began = Stopwatch.GetTimestamp();
        var handling = channel.HandleAsync(action.Method!, action.Content);
        owner.Charge(Stopwatch.GetElapsedTime(began));
        return handling;
    }

    private static MethodId IdOf(in ConnectionAction action) => action.Method?.Id ?? ChannelOpen.Id;

    private void Fail(AmqpException fault)
    {
        _hasFailed = true;
        owner.Failed(state, fault);
    }

    private async Task EndAsync()
    {
        try
        {
            if (_channel is not null)
                await _channel.EndAsync().ConfigureAwait(false);
        }
        catch (Exception fault)
        {
            owner.Log(EngineLogLevel.Error, "A channel could not be ended; its deliveries may stay unacknowledged for a while.", fault);
        }
        owner.Ended(state);
    }
}

/// <summary>The connection of a <see cref="ChannelLane"/>. Thread safe.</summary>
internal interface IChannelOwner
{
    /// <summary>Takes the lane's next command under the lock.</summary>
    bool TryTake(ChannelLane lane, out ConnectionAction action);

    /// <summary>The channel is open.</summary>
    void Opened(ChannelState channel);

    /// <summary>Whether a quota limits the time of the user's methods.</summary>
    bool ChargesTime { get; }

    /// <summary>Charges the time for which a method has kept a thread.</summary>
    void Charge(TimeSpan time);

    /// <summary>A command is done, or was dropped.</summary>
    void Handled(int bytes);

    /// <summary>A command failed, or the channel itself.</summary>
    void Failed(ChannelState channel, AmqpException fault);

    /// <summary>The channel has ended.</summary>
    void Ended(ChannelState channel);

    /// <summary>Sends a method.</summary>
    void Send<T>(ChannelState channel, in T method)
        where T : IMethod;

    /// <summary>Returns once there is room for answers, or they are not sent any more.</summary>
    Task WaitForRoomAsync();

    /// <summary>Writes a log line.</summary>
    void Log(EngineLogLevel level, string message, Exception? fault = null);
}
