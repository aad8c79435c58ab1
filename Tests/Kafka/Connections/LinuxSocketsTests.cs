using System.Net;
using System.Net.Sockets;
using OrleansMq.Gateways.Connections;

namespace OrleansMq.Tests.Kafka.Connections;

/// <summary>The Linux system calls: what they send, and how they report failures.</summary>
public sealed class LinuxSocketsTests : IDisposable
{
    private const int TcpLevel = 6, Congestion = 13;

    private readonly string _path = Path.GetTempFileName();
    private readonly Socket _sends;
    private readonly Socket _receives;

    public LinuxSocketsTests()
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        _receives = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        _receives.Connect(listener.LocalEndPoint!);
        _sends = listener.Accept();
        _sends.Blocking = false;
    }

    public void Dispose()
    {
        _sends.Dispose();
        _receives.Dispose();
        File.Delete(_path);
    }

    [Fact]
    public void File_follows_its_header()
    {
        File.WriteAllBytes(_path, [.. Enumerable.Range(0, 100).Select(number => (byte)number)]);
        using var file = File.OpenHandle(_path);
        Assert.Equal(LinuxSockets.Outcome.Sent, LinuxSockets.SendMore(_sends, "before"u8, out var sent));
        Assert.Equal(6, sent);
        Assert.Equal(LinuxSockets.Outcome.Sent, LinuxSockets.SendFile(_sends, file, _path, 10, 20, out sent));
        Assert.Equal(20, sent);
        var received = new byte[26];
        for (var have = 0; have < received.Length;)
            have += _receives.Receive(received.AsSpan(have));
        Assert.Equal([.. "before"u8, .. Enumerable.Range(10, 20).Select(number => (byte)number)], received);
    }

    [Fact]
    public void Unread_connection_runs_out_of_room()
    {
        File.WriteAllBytes(_path, new byte[1 << 20]);
        using var file = File.OpenHandle(_path);
        var (outcome, calls, sent) = (LinuxSockets.Outcome.Sent, 0, 1);
        // A late acknowledgement makes room once more.
        for (; (outcome == LinuxSockets.Outcome.Sent || sent > 0) && calls < 1000; calls++)
        {
            outcome = LinuxSockets.SendFile(_sends, file, _path, 0, 1 << 20, out _);
            if (outcome == LinuxSockets.Outcome.Full)
                outcome = LinuxSockets.SendMore(_sends, new byte[100_000], out sent);
        }
        Assert.Equal((LinuxSockets.Outcome.Full, 0), (outcome, sent));
    }

    [Fact]
    public void Truncated_file_is_reported()
    {
        using var file = File.OpenHandle(_path);
        var fault = Assert.Throws<IOException>(() => LinuxSockets.SendFile(_sends, file, _path, 4096, 10, out _));
        Assert.Contains($"'{_path}' ends at 4096", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Connection_reset_is_reported()
    {
        File.WriteAllBytes(_path, new byte[1 << 20]);
        using var file = File.OpenHandle(_path);
        _receives.LingerState = new LingerOption(true, 0);
        _receives.Close();
        Assert.True(_sends.Poll(TimeSpan.FromSeconds(60), SelectMode.SelectRead), "The reset did not arrive.");
        Assert.Throws<SocketException>(() => LinuxSockets.SendFile(_sends, file, _path, 0, 1 << 20, out _));
        Assert.Throws<SocketException>(() => LinuxSockets.SendMore(_sends, "x"u8, out _));
    }

    [Fact]
    public void Local_connection_is_not_paced()
    {
        var before = CongestionOf(_sends);
        LocalConnections.LeaveUnpaced(_sends);
        Assert.Equal(before.StartsWith("bbr", StringComparison.Ordinal) ? "reno" : before, CongestionOf(_sends));
    }

    private static string CongestionOf(Socket socket)
    {
        var name = new byte[16];
        var length = socket.GetRawSocketOption(TcpLevel, Congestion, name);
        return System.Text.Encoding.ASCII.GetString(name, 0, length).TrimEnd('\0');
    }
}
