using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;

namespace OrleansMq.Grains.Replication;

/// <summary>A port's answer to a connection attempt.</summary>
internal enum PortAnswer
{
    /// <summary>No answer in time, or one that proves nothing: a cut network, a machine that is off.</summary>
    Unknown = 0,
    /// <summary>A process listens.</summary>
    Accepts = 1,
    /// <summary>The machine reports that no process listens.</summary>
    Refuses = 2,
}

/// <summary>Probes whether a process listens on a port.</summary>
internal static class EndpointProbe
{
    /// <summary>The number of consecutive refusals that count: a single one may come from a restarting proxy.</summary>
    public const int Refusals = 4;

    /// <summary>The pause between two attempts: four attempts take 150 ms.</summary>
    public static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    /// <summary>Probes the port; a refusal is repeated until it counts.</summary>
    public static async Task<PortAnswer> AskAsync(IPEndPoint endpoint, CancellationToken cancellationToken)
    {
        for (var refusals = 1; ; refusals++)
        {
            var answer = await AskOnceAsync(endpoint, cancellationToken).ConfigureAwait(false);
            if (answer != PortAnswer.Refuses || refusals == Refusals)
                return answer;
            await Task.Delay(Pause, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Whether an address belongs to this machine. No network lies between then: a refusal comes from this kernel.</summary>
    public static bool IsLocal(IPAddress address) => IPAddress.IsLoopback(address)
        || NetworkInterface.GetAllNetworkInterfaces().SelectMany(card => card.GetIPProperties().UnicastAddresses)
        .Any(own => own.Address.Equals(address));

    private static async Task<PortAnswer> AskOnceAsync(IPEndPoint endpoint, CancellationToken cancellationToken)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(Patience);
        using var socket = new Socket(endpoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            await socket.ConnectAsync(endpoint, deadline.Token).ConfigureAwait(false);
            return PortAnswer.Accepts;
        }
        catch (SocketException refused) when (refused.SocketErrorCode == SocketError.ConnectionRefused)
        {
            return PortAnswer.Refuses;
        }
        catch (SocketException)
        {
            return PortAnswer.Unknown;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return PortAnswer.Unknown;
        }
    }
}
