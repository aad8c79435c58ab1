using System.ComponentModel;
using System.Net.Sockets;
using System.Security.Authentication;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Connections;

namespace OrleansMq.Gateways.Tls;

/// <summary>The TLS handshakes of a gateway's connections: each has a deadline, and one that fails is counted, and logged rarely. Thread
/// safe.</summary>
/// <param name="protocol">The gateway's protocol, for log lines.</param>
/// <param name="metrics">Counts those that fail.</param>
/// <param name="clock">The clock.</param>
/// <param name="log">Where log lines go.</param>
internal sealed class Handshakes(string protocol, ConnectionMetrics metrics, TimeProvider clock, EngineLog log)
{
    /// <summary>How long a client may take.</summary>
    public static readonly TimeSpan Deadline = TimeSpan.FromSeconds(10);

    private readonly CancellationTokenSource _drained = new();
    private readonly RareLine _failed = new(log, clock);
    private readonly RareLine _late = new(log, clock);
    private readonly RareLine _plain = new(log, clock);

    /// <summary>Whether this exception of .NET's handshake, thrown before it asked for a certificate, means that the client's first
    /// message is no ClientHello. .NET does not ask for a message of another kind, and then has no certificate; it reads one that ends
    /// early past its end.</summary>
    public static bool IsNoHello(Exception fault) =>
        fault is NotSupportedException or ArgumentOutOfRangeException or IndexOutOfRangeException;

    /// <summary>Shakes hands with a client.</summary>
    /// <returns>False where that failed: the connection can only be closed.</returns>
    public async Task<bool> TryAsync(TlsSocket socket, AcceptedClient client)
    {
        using var deadline = new CancellationTokenSource(Deadline, clock);
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, _drained.Token);
        try
        {
            await socket.HandshakeAsync(ended.Token).ConfigureAwait(false);
            return true;
        }
        catch (OperationCanceledException)
        {
            if (!_drained.IsCancellationRequested)
                Fail(_late, client, $"the TLS handshake was not complete after {Deadline.TotalSeconds:0} s");
        }
        catch (NotTlsException)
        {
            Fail(_plain, client, "the client does not speak TLS, which this port expects. Configure TLS in the client (security.protocol "
                + "of Kafka's clients, amqps:// of others), or have it connect to a plain port");
        }
        catch (AuthenticationException fault)
        {
            Fail(_failed, client, $"the TLS handshake failed: {fault.Message}");
        }
        catch (Exception fault) when (fault is IOException or SocketException or ObjectDisposedException or Win32Exception)
        {
            // A program that only looks whether the port is open sends nothing.
            if (socket.HasReceived)
                Fail(_failed, client, $"the client disconnected during the TLS handshake: {fault.GetBaseException().Message}");
        }
        return false;
    }

    /// <summary>Abandons those that are not complete: the gateway stops.</summary>
    public void Drain() => _drained.Cancel();

    private void Fail(RareLine line, AcceptedClient client, string reason)
    {
        var listener = client.Listener.Length > 0 ? $" to listener {client.Listener}" : "";
        line.Write(EngineLogLevel.Warning, $"The {protocol} connection from {client.Remote}{listener} is closed: {reason.TrimEnd('.')}.");
        metrics.HandshakeFailed();
    }
}
