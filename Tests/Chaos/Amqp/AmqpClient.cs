using OrleansMq.Tests.Chaos.Running;

namespace OrleansMq.Tests.Chaos.Amqp;

/// <summary>A client that connects to one broker after another, again whenever its connection is broken, until it is stopped.</summary>
internal abstract class AmqpClient(RunningCluster cluster, AmqpHistory history, string name, Action<string> refused)
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(200);

    private readonly CancellationTokenSource _stop = new();
    private AmqpLink? _link;
    private CancellationTokenSource? _close;
    private Task _running = Task.CompletedTask;
    private long _pausedUntil;
    private int _next;

    public string Name => name;

    protected AmqpHistory History => history;

    /// <summary>Starts it.</summary>
    /// <param name="first">Chooses the broker to connect to first.</param>
    public void Start(int first)
    {
        _next = first;
        _running = Task.Run(RunAsync);
    }

    /// <summary>Breaks the connection as by the client's death.</summary>
    public void Cut() => Volatile.Read(ref _link)?.Cut();

    /// <summary>Has it close its connection in order, and open another.</summary>
    public void Reconnect() => Volatile.Read(ref _close)?.Cancel();

    /// <summary>Has it do nothing for a while. Its connection stays open.</summary>
    public void Rest(TimeSpan time) => Volatile.Write(ref _pausedUntil, Environment.TickCount64 + (long)time.TotalMilliseconds);

    /// <summary>Closes the connection in order. Throws what it failed with.</summary>
    public async Task StopAsync()
    {
        await _stop.CancelAsync();
        await _running;
    }

    /// <summary>Works over a connection. Returns when it is broken or to be closed.</summary>
    protected abstract Task ServeAsync(AmqpLink link, CancellationToken close);

    /// <summary>Waits while it is to do nothing.</summary>
    protected async Task RestAsync(CancellationToken close)
    {
        while (Environment.TickCount64 < Volatile.Read(ref _pausedUntil))
            await Task.Delay(20, close);
    }

    private async Task RunAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            // Never disposed: it may be cancelled from outside while the connection ends.
            var close = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
            var silos = cluster.Silos;
            try
            {
                await using var link = await AmqpLink.OpenAsync(silos[_next++ % silos.Count].Amqp!, name, refused, _stop.Token);
                Volatile.Write(ref _link, link);
                Volatile.Write(ref _close, close);
                await ServeAsync(link, close.Token);
                if (close.IsCancellationRequested)
                    await link.CloseAsync();
            }
            catch (Exception fault) when (AmqpLink.IsBroken(fault))
            {
                cluster.Log.Note($"{name}: {fault.GetType().Name}: {fault.Message}");
            }
            finally
            {
                Volatile.Write(ref _close, null);
                Volatile.Write(ref _link, null);
            }
            await Task.Delay(Pause, _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}
