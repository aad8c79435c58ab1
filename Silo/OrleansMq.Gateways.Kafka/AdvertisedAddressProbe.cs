using System.Net.Sockets;
using OrleansMq.Diagnostics;

namespace OrleansMq.Gateways.Kafka;

/// <summary>Connects once to the address that clients are sent to, and warns where that fails: clients would report the mistake
/// later.</summary>
/// <param name="log">Where the warning goes.</param>
/// <param name="connect">Connects to a host and port; null is over TCP.</param>
internal sealed class AdvertisedAddressProbe(EngineLog log, Func<string, int, CancellationToken, Task>? connect = null) : IAsyncDisposable
{
    // How long the connection may take.
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(5);

    private readonly Func<string, int, CancellationToken, Task> _connect = connect ?? ConnectAsync;
    private readonly CancellationTokenSource _stop = new();
    private Task _probing = Task.CompletedTask;

    /// <summary>Begins the probe of an address, beside those before.</summary>
    /// <param name="advertised">As <c>host:port</c>.</param>
    public void Start(string advertised) => _probing = Task.WhenAll(_probing, ProbeAsync(advertised));

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
            await _connect(host, port, timeout.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            // A broker that stops ends the probe: the lookup of the name then fails in either way.
            if (_stop.IsCancellationRequested)
                return;
            log.Write(EngineLogLevel.Warning, $"KAFKA CLIENTS ARE SENT TO {advertised}, WHICH CANNOT BE REACHED FROM HERE ({e.Message}) "
                + "Check --kafka-advertised, unless only clients reach that address.");
        }
    }

    private static async Task ConnectAsync(string host, int port, CancellationToken cancellationToken)
    {
        using var client = new TcpClient();
        await client.ConnectAsync(host, port, cancellationToken).ConfigureAwait(false);
    }
}
