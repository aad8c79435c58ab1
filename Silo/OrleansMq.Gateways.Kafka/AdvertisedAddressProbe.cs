using System.Net.Sockets;
using OrleansMq.Diagnostics;

namespace OrleansMq.Gateways.Kafka;

/// <summary>Connects once to the address that clients are sent to, and warns where that fails: clients would report the mistake
/// later.</summary>
/// <param name="log">Where the warning goes.</param>
internal sealed class AdvertisedAddressProbe(EngineLog log) : IAsyncDisposable
{
    // How long the connection may take.
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(5);

    private readonly CancellationTokenSource _stop = new();
    private Task _probing = Task.CompletedTask;

    /// <summary>Begins the probe.</summary>
    /// <param name="advertised">As <c>host:port</c>.</param>
    public void Start(string advertised) => _probing = ProbeAsync(advertised);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _probing.ConfigureAwait(false);
        _stop.Dispose();
    }

    private async Task ProbeAsync(string advertised)
    {
        _ = KafkaAddress.TryParse(advertised, out var host, out var port);
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        timeout.CancelAfter(ConnectTimeout);
        try
        {
            using var client = new TcpClient();
            await client.ConnectAsync(host, port, timeout.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException && !_stop.IsCancellationRequested)
        {
            log.Write(EngineLogLevel.Warning, $"KAFKA CLIENTS ARE SENT TO {advertised}, WHICH CANNOT BE REACHED FROM HERE ({e.Message}) "
                + "Check --kafka-advertised, unless only clients reach that address.");
        }
        catch (OperationCanceledException)
        {
            // The broker stops before the probe is done.
        }
    }
}
