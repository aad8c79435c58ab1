using System.IO.Pipelines;
using System.Net.Security;
using OrleansMq.Connections;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Connections;

/// <summary>The stream that TLS reads, as Orleans ends it: Orleans cancels the read of the pipes below, once.</summary>
public sealed class PipeStreamTests
{
    private readonly Pipe _there = new();
    private readonly Pipe _back = new();

    [Fact]
    public async Task Cancelled_read_of_the_pipes_ends_a_waiting_read_of_TLS()
    {
        using var files = new TestCertificateFiles();
        using var certificate = files.Authority.IssueMember();
        using var server = new SslStream(new PipeStream(new Ends(_there.Reader, _back.Writer)));
        using var client = new SslStream(new PipeStream(new Ends(_back.Reader, _there.Writer)));
        var options = new SslClientAuthenticationOptions
        {
            TargetHost = "localhost",
            RemoteCertificateValidationCallback = static (_, _, _, _) => true,
        };
        await Task.WhenAll(server.AuthenticateAsServerAsync(certificate), client.AuthenticateAsClientAsync(options))
            .WaitAsync(Wait.Deadline);
        var buffer = new byte[16];
        var reading = server.ReadAsync(buffer).AsTask();
        await client.WriteAsync(new byte[] { 7 });
        Assert.Equal(1, await reading.WaitAsync(Wait.Deadline));

        reading = server.ReadAsync(buffer).AsTask();
        Assert.False(reading.IsCompleted);
        _there.Reader.CancelPendingRead();

        Assert.Equal(0, await reading.WaitAsync(Wait.Deadline));
    }

    [Fact]
    public async Task Bytes_before_a_cancellation_are_read_and_then_the_end()
    {
        await using var stream = new PipeStream(new Ends(_there.Reader, _back.Writer));
        var buffer = new byte[2];
        await _there.Writer.WriteAsync(new byte[] { 1, 2, 3 });
        _there.Reader.CancelPendingRead();

        Assert.Equal(2, await stream.ReadAsync(buffer).AsTask().WaitAsync(Wait.Deadline));
        Assert.Equal([1, 2], buffer);
        Assert.Equal(0, await stream.ReadAsync(buffer).AsTask().WaitAsync(Wait.Deadline));
    }

    private sealed record Ends(PipeReader Input, PipeWriter Output) : IDuplexPipe;
}
