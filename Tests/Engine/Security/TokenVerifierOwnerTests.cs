using OrleansMq.Brokers;
using OrleansMq.Security;
using OrleansMq.Storage;

namespace OrleansMq.Tests.Engine.Security;

/// <summary>Options may be used for several brokers: each owns the verifier that it uses.</summary>
public sealed class TokenVerifierOwnerTests
{
    private readonly List<Verifier> _created = [];

    [Fact]
    public async Task Each_broker_of_the_same_options_disposes_of_its_own_verifier()
    {
        var security = new SecurityOptions { Tokens = Create };
        var first = await OpenAsync(security);
        await using var second = await OpenAsync(security);
        Assert.Same(_created[0], first.Security.Tokens);
        Assert.Same(_created[1], second.Security.Tokens);
        await first.DisposeAsync();
        await using var third = await OpenAsync(security);
        Assert.Equal([true, false, false], _created.Select(static one => one.IsDisposed));
    }

    [Fact]
    public async Task Start_that_fails_at_its_end_disposes_of_the_verifier()
    {
        var security = new SecurityOptions { Tokens = Create, AdminPassword = "secret", MaxUsers = 0 };
        await Assert.ThrowsAsync<BrokerException>(() => OpenAsync(security));
        Assert.True(Assert.Single(_created).IsDisposed);
    }

    [Fact]
    public async Task Start_that_fails_early_disposes_of_the_verifier()
    {
        using var canceled = new CancellationTokenSource();
        var security = new SecurityOptions
        {
            Tokens = () =>
            {
                canceled.Cancel();
                return Create();
            },
        };
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => OpenAsync(security, canceled.Token));
        Assert.True(Assert.Single(_created).IsDisposed);
    }

    private static Task<LocalBroker> OpenAsync(SecurityOptions security, CancellationToken cancellationToken = default) =>
        LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = "/data", FileSystem = new MemoryFileSystem(), Security = security },
            cancellationToken);

    private Verifier Create()
    {
        var created = new Verifier();
        _created.Add(created);
        return created;
    }

    private sealed class Verifier : ITokenVerifier
    {
        public bool IsDisposed { get; private set; }

        public ValueTask<BearerToken?> VerifyAsync(string token, CancellationToken cancellationToken) => new((BearerToken?)null);

        public void Dispose() => IsDisposed = true;
    }
}
