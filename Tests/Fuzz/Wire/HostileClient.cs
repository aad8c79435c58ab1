using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using OrleansMq.Tests.Fuzz.Cases;

namespace OrleansMq.Tests.Fuzz.Wire;

/// <summary>Has a conversation over a connection of its own, to its end.</summary>
/// <param name="broker">The broker.</param>
internal sealed class HostileClient(BrokerProcess broker)
{
    private const int MostReceived = 64 << 20;

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);
    // A request that waits does so for up to a minute, also where its client has ended sending: it may still read. The client goes away.
    private static readonly TimeSpan DeadlineOfWaiting = TimeSpan.FromSeconds(3);

    /// <summary>Sends all, ends sending, and receives until the broker closes the connection. Returns what was received, nothing where a
    /// request waits for longer than this client.</summary>
    /// <exception cref="FuzzFailedException">The broker neither answers nor closes the connection in time.</exception>
    public async Task<byte[]> RunAsync(Conversation conversation)
    {
        using var client = new TcpClient { NoDelay = true };
        using var deadline = new CancellationTokenSource(conversation.MayWait ? DeadlineOfWaiting : Deadline);
        try
        {
            await client.ConnectAsync(AddressOf(conversation.Port), deadline.Token);
            await using var stream = await OpenAsync(client, conversation.Port, deadline.Token);
            var receiving = ReceiveAsync(stream, deadline.Token);
            await SendAsync(client, stream, conversation, deadline.Token);
            return await receiving;
        }
        catch (OperationCanceledException) when (conversation.MayWait)
        {
            return [];
        }
        catch (OperationCanceledException late)
        {
            throw new FuzzFailedException($"The broker has neither answered nor closed the connection ({conversation.Port}) after "
                + $"{Deadline.TotalSeconds} s.", late);
        }
    }

    private IPEndPoint AddressOf(HostilePort port) => port switch
    {
        HostilePort.Kafka => broker.Plain,
        HostilePort.Sasl => broker.Sasl,
        HostilePort.TlsRecords or HostilePort.InsideTls => broker.Ssl,
        HostilePort.Http => broker.Http,
        HostilePort.Amqp => broker.Amqp,
        HostilePort.Management or HostilePort.HttpsRecords => broker.Management,
        _ => throw new ArgumentOutOfRangeException(nameof(port)),
    };

    private static async Task<Stream> OpenAsync(TcpClient client, HostilePort port, CancellationToken cancellationToken)
    {
        if (port is not (HostilePort.InsideTls or HostilePort.Management))
            return client.GetStream();
        var tls = new SslStream(client.GetStream());
        await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
        {
            TargetHost = "localhost",
            RemoteCertificateValidationCallback = static (_, _, _, _) => true,
        }, cancellationToken);
        return tls;
    }

    private static async Task SendAsync(TcpClient client, Stream stream, Conversation conversation, CancellationToken cancellationToken)
    {
        try
        {
            if (conversation.IsSlow)
            {
                foreach (var piece in conversation.Pieces)
                {
                    await stream.WriteAsync(piece, cancellationToken);
                    await Task.Yield();
                }
            }
            else
            {
                await stream.WriteAsync(conversation.Pieces.SelectMany(static piece => piece).ToArray(), cancellationToken);
            }
            if (conversation.IsReset)
                client.Client.Close(0);
            else
                // Also of TLS, without its own end: ShutdownAsync beside a pending read can damage the process's memory.
                client.Client.Shutdown(SocketShutdown.Send);
        }
        catch (Exception closed) when (closed is IOException or SocketException or ObjectDisposedException)
        {
            // The broker has closed the connection: it answers nothing more.
        }
    }

    private static async Task<byte[]> ReceiveAsync(Stream stream, CancellationToken cancellationToken)
    {
        var received = new MemoryStream();
        var buffer = new byte[16 << 10];
        try
        {
            for (int count; (count = await stream.ReadAsync(buffer, cancellationToken)) > 0 && received.Length < MostReceived;)
                received.Write(buffer, 0, count);
        }
        catch (Exception closed) when (closed is IOException or SocketException or ObjectDisposedException)
        {
            // Reset, by the broker or by the client itself.
        }
        return received.ToArray();
    }
}
