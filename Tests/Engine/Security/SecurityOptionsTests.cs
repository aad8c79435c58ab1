using OrleansMq.Access;
using OrleansMq.Brokers;
using OrleansMq.Security;

namespace OrleansMq.Tests.Engine.Security;

/// <summary>When rules are enforced by default.</summary>
public sealed class SecurityOptionsTests
{
    [Theory]
    [InlineData(false, false, AuthorizationMode.Off)]
    [InlineData(true, false, AuthorizationMode.Enforce)]
    [InlineData(false, true, AuthorizationMode.Enforce)]
    public void Tokens_and_certificates_enforce_rules_unless_that_is_set(bool hasTokens, bool hasCertificates, AuthorizationMode mode)
    {
        var options = new SecurityOptions { Tokens = hasTokens ? NoTokens.Create : null, HasClientCertificates = hasCertificates };
        Assert.Equal((mode, false), (options.Authorization, options.IsAuthorizationSet));
        Assert.Equal(mode == AuthorizationMode.Enforce, options.EnforcesWithoutAdministrator);
        foreach (var set in Enum.GetValues<AuthorizationMode>())
        {
            var changed = options with { Authorization = set };
            Assert.Equal((set, false), (changed.Authorization, changed.EnforcesWithoutAdministrator));
        }
    }

    [Fact]
    public void Administrator_that_is_set_is_not_missing()
    {
        var options = new SecurityOptions { Tokens = NoTokens.Create };
        Assert.False((options with { SuperUsers = ["User:root"] }).EnforcesWithoutAdministrator);
        Assert.False((options with { AdminPassword = "secret" }).EnforcesWithoutAdministrator);
    }

    /// <summary>In whichever order the options are set.</summary>
    [Fact]
    public void Tokens_do_not_replace_the_authorizer_of_the_host()
    {
        var authorizer = new AclAuthorizer(new SecurityOptions());
        var plain = new BrokerOptions { DataDirectory = "/data" };
        var security = new SecurityOptions { Tokens = NoTokens.Create };
        foreach (var options in new[]
        {
            plain with { Authorizer = authorizer, Security = security },
            plain with { Security = security, Authorizer = authorizer },
            (plain with { Authorizer = authorizer }) with { Security = security },
        })
        {
            Assert.Equal(AuthorizationMode.Off, options.Security.Authorization);
            Assert.Equal(AuthorizationMode.Enforce, (options.Security with { AdminPassword = "secret" }).Authorization);
            Assert.Equal(AuthorizationMode.Enforce, (options with { Authorizer = AllowAll.Instance }).Security.Authorization);
        }
    }

    private sealed class NoTokens : ITokenVerifier
    {
        public static NoTokens Create() => new();

        public ValueTask<BearerToken?> VerifyAsync(string token, CancellationToken cancellationToken) => new((BearerToken?)null);

        public void Dispose() { }
    }
}
