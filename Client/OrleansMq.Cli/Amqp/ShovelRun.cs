using System.Diagnostics;
using OrleansMq.Cli.CommandLine;
using RabbitMQ.Client;
using RabbitMQ.Client.Exceptions;

namespace OrleansMq.Cli.Amqp;

/// <summary>Moves one queue, over as many connections as it takes.</summary>
/// <param name="route">The queue and where its messages go.</param>
/// <param name="settings">How they are moved.</param>
/// <param name="from">The source.</param>
/// <param name="to">The target.</param>
internal sealed class ShovelRun(ShovelRoute route, ShovelSettings settings, ConnectionFactory from, ConnectionFactory to) : IShovelReport
{
    private static readonly TimeSpan RetryInterval = TimeSpan.FromSeconds(1);

    private readonly long _start = Stopwatch.GetTimestamp();
    private long _moved, _bytes, _movedBefore = -1;
    private int _reconnects;
    // An address that has never answered is a wrong one.
    private bool _hasConnected;

    /// <summary>What was moved until now.</summary>
    public ShovelSummary Summary => new(route.Queue, Volatile.Read(ref _moved), Volatile.Read(ref _bytes), Volatile.Read(ref _reconnects),
        Stopwatch.GetElapsedTime(_start).TotalSeconds);

    /// <inheritdoc/>
    public void Moved(int bytes)
    {
        _moved++;
        _bytes += bytes;
    }

    /// <inheritdoc/>
    public void Reconnecting(string reason)
    {
        _reconnects++;
        if (_moved > _movedBefore)
            Console.Error.WriteLine($"omq: connecting again: {reason}");
        _movedBefore = _moved;
    }

    /// <summary>Moves the messages.</summary>
    /// <exception cref="CommandFailedException">A broker refused, or did not serve for <see cref="ShovelSettings.RetryTimeout"/>.
    /// </exception>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        var progress = Stopwatch.GetTimestamp();
        while (true)
        {
            var before = _moved;
            var lost = await TryAsync(cancellationToken).ConfigureAwait(false);
            if (lost is null)
                return;
            if (_moved > before)
                progress = Stopwatch.GetTimestamp();
            if (!_hasConnected || Stopwatch.GetElapsedTime(progress) + RetryInterval > settings.RetryTimeout
                || cancellationToken.IsCancellationRequested)
                throw new CommandFailedException(lost is BrokerUnreachableException ? ExitCode.Unreachable : ExitCode.Refused,
                    $"Queue '{route.Queue}': {Reason(lost)}. {_moved:N0} messages were moved; repeat the command for the others. Messages "
                    + "that were on their way may come twice.", lost);
            Reconnecting(Reason(lost));
            await Task.Delay(RetryInterval, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    // Null: it ended as it should.
    private async Task<Exception?> TryAsync(CancellationToken cancellationToken)
    {
        try
        {
            var link = await ShovelLink.OpenAsync(route, settings, this, from, to, cancellationToken).ConfigureAwait(false);
            _hasConnected = true;
            await using (link.ConfigureAwait(false))
                await link.RunAsync(cancellationToken).ConfigureAwait(false);
            return null;
        }
        catch (OperationInterruptedException e) when (e.ShutdownReason is { } reason)
        {
            return ShovelLink.Explain(reason) is CommandFailedException refused ? throw refused : e;
        }
        catch (BrokerUnreachableException e) when (Cause(e) is AuthenticationFailureException or PossibleAuthenticationFailureException)
        {
            throw CommandFailedException.Refused($"A broker refused user or password: {Cause(e).Message}", e);
        }
        catch (Exception e) when (e is ShovelLostException or RabbitMQClientException or IOException or TimeoutException)
        {
            return e;
        }
    }

    private static Exception Cause(Exception e) => e is AggregateException { InnerExceptions: [var only] } ? Cause(only)
        : e is BrokerUnreachableException { InnerException: { } inner } ? Cause(inner) : e;

    private static string Reason(Exception e) => Cause(e).Message.TrimEnd('.');
}
