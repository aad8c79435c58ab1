using System.Net.Security;

namespace OrleansMq.Tests.Fuzz.Cases;

/// <summary>The first record of a TLS client.</summary>
internal static class ClientHello
{
    /// <summary>Takes it from this machine's implementation.</summary>
    public static async Task<byte[]> TakeAsync()
    {
        using var sent = new Recorder();
        await using var tls = new SslStream(sent);
        try
        {
            await tls.AuthenticateAsClientAsync("localhost");
        }
        catch (IOException)
        {
            // There is no server.
        }
        return sent.ToArray();
    }

    // Takes what is written; there is nothing to read.
    private sealed class Recorder : MemoryStream
    {
        public override int Read(Span<byte> buffer) => 0;

        public override int Read(byte[] buffer, int offset, int count) => 0;

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
            Task.FromResult(0);

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => new(0);
    }
}
