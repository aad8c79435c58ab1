using OrleansMq.Diagnostics;
using OrleansMq.Hosting;
using OrleansMq.Shares;

namespace OrleansMq.Gateways.Kafka.Shares;

/// <summary>Removes what deleted share groups leave behind, now and then while the gateway is open.</summary>
internal sealed class ShareCleaning : IDisposable
{
    /// <summary>The interval: each run asks the coordinator of every share group that reads here.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromMinutes(5);

    private readonly CancellationTokenSource _end = new();
    private readonly ShareCursorCleaner _cleaner;
    private readonly KafkaGatewayOptions _options;

    public ShareCleaning(KafkaGatewayOptions options, HostedBroker hosted)
    {
        (_options, _cleaner) = (options, new ShareCursorCleaner(hosted.Local, hosted.Broker.Groups));
        _ = RunAsync(_end.Token);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _end.Cancel();
        _end.Dispose();
    }

    private async Task RunAsync(CancellationToken end)
    {
        try
        {
            while (true)
            {
                await Task.Delay(Interval, _options.TimeProvider, end).ConfigureAwait(false);
                await RunOnceAsync(end).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (end.IsCancellationRequested)
        {
            // The gateway is closed.
        }
    }

    private async Task RunOnceAsync(CancellationToken end)
    {
        try
        {
            if (await _cleaner.RunAsync(end).ConfigureAwait(false) is > 0 and var removed)
                _options.Log.Write(EngineLogLevel.Information, $"Removed {removed} cursors of share groups that were deleted.");
        }
        catch (Exception fault) when (fault is not OperationCanceledException)
        {
            _options.Log.Write(EngineLogLevel.Warning, "Looking for cursors of deleted share groups failed; it is repeated.", fault);
        }
    }
}
