using System.Net;
using System.Security.Claims;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Microsoft.IdentityModel.Tokens;
using OrleansMq.Brokers;
using OrleansMq.Gateways.Tokens;
using OrleansMq.Security;
using OrleansMq.Testing;
using OrleansMq.Tests.Kafka.Codec;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Sasl;

/// <summary>Which tokens name a client, and where the keys of their issuer come from.</summary>
public sealed class TokenTests : IDisposable
{
    private readonly TokenIssuer _issuer = new();
    private readonly string _file = Path.GetTempFileName();
    private readonly ManualTimeProvider _time = new();
    private readonly RecordedLog _log = new();

    public TokenTests() => File.WriteAllText(_file, _issuer.Keys);

    private DateTime Now => _time.GetUtcNow().UtcDateTime;

    public void Dispose()
    {
        _issuer.Dispose();
        File.Delete(_file);
    }

    [Fact]
    public async Task Token_of_the_issuer_names_its_subject_until_it_expires()
    {
        using var verifier = Verifier();
        var token = _issuer.Issue("alice", Now.AddMinutes(1));
        var verified = await verifier.VerifyAsync(token, default);
        Assert.Equal("User:alice", verified!.Principal);
        Assert.Equal(_time.GetUtcNow().AddMinutes(1), verified.ExpiresAt, TimeSpan.FromSeconds(1));
        _time.Advance(TimeSpan.FromSeconds(61));
        Assert.Null(await verifier.VerifyAsync(token, default));
    }

    public static TheoryData<string> Faults =>
    [
        "issuer", "no issuer", "audience", "no audience", "no expiration", "expired", "not yet", "other key", "unknown key", "unsigned",
        "secret", "tampered", "no subject", "several subjects", "anonymous", "everyone", "control character", "long name", "empty", "text",
    ];

    [Theory]
    [MemberData(nameof(Faults))]
    public async Task Other_tokens_are_refused(string fault)
    {
        using var verifier = Verifier();
        using var other = new TokenIssuer();
        using var unknown = new TokenIssuer("unknown");
        var until = Now.AddMinutes(1);
        var token = fault switch
        {
            "issuer" => _issuer.Issue("alice", until, static token => token.Issuer = "https://other.example.com"),
            "no issuer" => _issuer.Issue("alice", until, static token => token.Issuer = null),
            "audience" => _issuer.Issue("alice", until, static token => token.Audience = "another"),
            "no audience" => _issuer.Issue("alice", until, static token => token.Audience = null),
            "no expiration" => _issuer.Issue("alice", until, static token => token.Expires = null),
            "expired" => _issuer.Issue("alice", Now.AddSeconds(-1)),
            "not yet" => _issuer.Issue("alice", until, token => token.NotBefore = Now.AddSeconds(40)),
            "other key" => other.Issue("alice", until),
            "unknown key" => unknown.Issue("alice", until),
            "unsigned" => _issuer.Issue("alice", until, static token => token.SigningCredentials = null),
            // The public key as the secret of a signature that needs no private one.
            "secret" => _issuer.Issue("alice", until, token => token.SigningCredentials = new SigningCredentials(
                new SymmetricSecurityKey(SHA512.HashData(Encoding.UTF8.GetBytes(_issuer.Keys))) { KeyId = "first" },
                SecurityAlgorithms.HmacSha256)),
            "tampered" => Tampered(_issuer.Issue("alice", until)),
            "no subject" => _issuer.Issue("alice", until, static token => token.Subject = new ClaimsIdentity([new Claim("name", "alice")])),
            "several subjects" => _issuer.Issue("alice", until, static token => token.Claims = new Dictionary<string, object>
            {
                ["sub"] = new[] { "alice", "admin" },
            }),
            "anonymous" => _issuer.Issue("ANONYMOUS", until),
            "everyone" => _issuer.Issue("*", until),
            "control character" => _issuer.Issue("a\nb", until),
            "long name" => _issuer.Issue(new string('x', 256), until),
            "empty" => "",
            _ => "text",
        };
        Assert.Null(await verifier.VerifyAsync(token, default));
        var line = Assert.Single(_log.Lines, static line => line.Contains("A token was refused", StringComparison.Ordinal));
        Assert.False(token.Length > 10 && line.Contains(token[^10..], StringComparison.Ordinal));
        Assert.NotNull(await verifier.VerifyAsync(_issuer.Issue("alice", until), default));
    }

    [Fact]
    public async Task Another_claim_may_name_the_client()
    {
        using var verifier = Verifier(principalClaim: "client_id");
        var token = _issuer.Issue("7", Now.AddMinutes(1), static token =>
            token.Subject = new ClaimsIdentity([new Claim("sub", "7"), new Claim("client_id", "billing")]));
        Assert.Equal("User:billing", (await verifier.VerifyAsync(token, default))!.Principal);
    }

    [Fact]
    public async Task New_key_is_read_when_a_token_has_it_though_not_again_and_again()
    {
        using var verifier = Verifier();
        using var second = new TokenIssuer("second");
        var until = Now.AddHours(1);
        Assert.NotNull(await verifier.VerifyAsync(_issuer.Issue("alice", until), default));
        _time.Advance(TimeSpan.FromSeconds(10));
        Assert.Null(await verifier.VerifyAsync(second.Issue("alice", until), default));
        await File.WriteAllTextAsync(_file, TokenIssuer.SetOf(_issuer, second));
        Assert.Null(await verifier.VerifyAsync(second.Issue("alice", until), default));
        _time.Advance(TimeSpan.FromSeconds(10));
        Assert.NotNull(await verifier.VerifyAsync(second.Issue("alice", until), default));
        Assert.NotNull(await verifier.VerifyAsync(_issuer.Issue("alice", until), default));
    }

    [Fact]
    public async Task Keys_come_from_the_issuer_and_stay_while_it_is_away()
    {
        string? answer = null;
        var requests = 0;
        var server = WebApplication.CreateSlimBuilder();
        server.Logging.ClearProviders();
        server.WebHost.ConfigureKestrel(static kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        await using var app = server.Build();
        app.Run(async http =>
        {
            Interlocked.Increment(ref requests);
            if (Volatile.Read(ref answer) is { } keys)
                await http.Response.WriteAsync(keys);
            else
                http.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
        });
        await app.StartAsync();
        using var verifier = Verifier(keys: app.Urls.Single() + "/keys");
        var token = _issuer.Issue("alice", Now.AddHours(1));
        await Assert.ThrowsAsync<IOException>(async () => await verifier.VerifyAsync(token, default));
        Volatile.Write(ref answer, _issuer.Keys);
        // It is not asked by each token.
        var asked = Volatile.Read(ref requests);
        await Assert.ThrowsAsync<IOException>(async () => await verifier.VerifyAsync(token, default));
        Assert.Equal(asked, Volatile.Read(ref requests));
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.NotNull(await verifier.VerifyAsync(token, default));
        Volatile.Write(ref answer, null);
        var before = Volatile.Read(ref requests);
        _time.Advance(TimeSpan.FromMinutes(5));
        Assert.NotNull(await verifier.VerifyAsync(token, default));
        await KafkaServer.WaitUntilAsync(() => Volatile.Read(ref requests) > before);
        Assert.NotNull(await verifier.VerifyAsync(token, default));
        // Keys that nobody has asked for are asked for first: one may have been withdrawn.
        using var other = new TokenIssuer("second");
        Volatile.Write(ref answer, other.Keys);
        _time.Advance(TimeSpan.FromMinutes(10));
        Assert.Null(await verifier.VerifyAsync(_issuer.Issue("alice", _time.GetUtcNow().UtcDateTime.AddHours(1)), default));
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("text")]
    [InlineData("""{"keys": []}""")]
    [InlineData("""{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "first"}]}""")]
    public void File_without_a_usable_key_is_refused_at_the_start(string content)
    {
        File.WriteAllText(_file, content);
        Assert.Throws<TokenConfigurationException>(() => Verifier());
    }

    [Fact]
    public void Missing_file_is_refused_at_the_start() =>
        Assert.Contains("missing.json", Assert.Throws<TokenConfigurationException>(() => Verifier(keys: "/tmp/missing.json")).Message,
            StringComparison.Ordinal);

    [Theory]
    [InlineData("https://issuer.example.com/keys", true)]
    [InlineData("http://127.0.0.1:8080/keys", true)]
    [InlineData("http://localhost/keys", true)]
    [InlineData("keys.json", true)]
    [InlineData("/etc/keys.json", true)]
    [InlineData("http://issuer.example.com/keys", false)]
    [InlineData("ftp://issuer.example.com/keys", false)]
    [InlineData("", false)]
    public void Keys_are_not_read_over_a_network_in_clear_text(string place, bool isAllowed) =>
        Assert.Equal(isAllowed, TokenOptions.IsPlace(place));

    [Fact]
    public async Task Broker_with_tokens_verifies_them_and_offers_their_mechanism()
    {
        var options = new BrokerOptions { DataDirectory = "/data", TimeProvider = _time, Log = _log,
            Security = new SecurityOptions { SuperUsers = ["User:admin"] } }.WithTokens(Options(_file));
        Assert.Equal("User:admin", Assert.Single(options.Security.SuperUsers));
        await using var security = new BrokerSecurity(() => throw new InvalidOperationException(), options.Security,
            new AclAuthorizer(options.Security), _log, _time);
        var verified = await security.Tokens!.VerifyAsync(_issuer.Issue("alice", Now.AddMinutes(1)), default);
        Assert.Equal("User:alice", verified!.Principal);
        Assert.Contains("OAUTHBEARER", security.Mechanisms);
    }

    [Fact]
    public void File_that_cannot_be_used_is_refused_when_the_option_is_set() =>
        Assert.Contains("missing.json", Assert.Throws<TokenConfigurationException>(() =>
            new BrokerOptions { DataDirectory = "/data" }.WithTokens(Options("/tmp/missing.json"))).Message, StringComparison.Ordinal);

    [Fact]
    public void Options_of_tokens_that_are_not_valid_are_refused_by_their_name()
    {
        var good = Options(_file);
        foreach (var (option, bad) in new[]
        {
            ("Keys", good with { Keys = "http://issuer.example.com/keys" }), ("Keys", good with { Keys = "" }),
            ("Issuer", good with { Issuer = "" }), ("Audiences", good with { Audiences = [] }),
            ("Audiences", good with { Audiences = [""] }), ("PrincipalClaim", good with { PrincipalClaim = "" }),
        })
            Assert.StartsWith($"TokenOptions.{option} ", Assert.Throws<ArgumentException>(() =>
                new BrokerOptions { DataDirectory = "/data" }.WithTokens(bad)).Message, StringComparison.Ordinal);
    }

    private static TokenOptions Options(string keys) =>
        new() { Keys = keys, Issuer = TokenIssuer.Issuer, Audiences = [TokenIssuer.Audience] };

    private JwtVerifier Verifier(string? keys = null, string principalClaim = "sub") => new(new TokenOptions
    {
        Keys = keys ?? _file,
        Issuer = TokenIssuer.Issuer,
        Audiences = ["another-audience", TokenIssuer.Audience],
        PrincipalClaim = principalClaim,
    }, _time, _log);

    // Another name under the signature.
    private static string Tampered(string token)
    {
        var parts = token.Split('.');
        var payload = Base64UrlEncoder.Decode(parts[1]).Replace("alice", "admin", StringComparison.Ordinal);
        return $"{parts[0]}.{Base64UrlEncoder.Encode(payload)}.{parts[2]}";
    }
}
