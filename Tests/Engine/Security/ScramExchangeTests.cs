using System.Text;
using OrleansMq.Security;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Engine.Security;

/// <summary>SCRAM as the server sees it.</summary>
public sealed class ScramExchangeTests
{
    private const string ClientNonce = "rOprNGfwEbeRWgbNEkqO";
    private const string ServerNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

    // The example of RFC 7677, section 3.
    [Fact]
    public void Example_of_the_specification_is_verified_and_signed()
    {
        var exchange = new ScramExchange(ScramMechanism.Sha256, ServerNonce);
        Assert.True(exchange.TryBegin(Bytes($"n,,n=user,r={ClientNonce}")));
        Assert.Equal("user", exchange.User);
        Assert.Equal($"r={ClientNonce}{ServerNonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            Encoding.UTF8.GetString(exchange.Challenge(Pencil())));
        Assert.True(exchange.TryFinish(Bytes($"c=biws,r={ClientNonce}{ServerNonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="),
            out var signature));
        Assert.Equal("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", Encoding.UTF8.GetString(signature));
    }

    [Theory]
    [InlineData(ScramMechanism.Sha256, "päss,=wörd", true)]
    [InlineData(ScramMechanism.Sha512, "päss,=wörd", true)]
    [InlineData(ScramMechanism.Sha256, "other", false)]
    [InlineData(ScramMechanism.Sha512, "other", false)]
    public void Client_with_the_password_alone_is_verified(ScramMechanism mechanism, string password, bool isVerified)
    {
        var exchange = new ScramExchange(mechanism);
        var client = new ScramClient(mechanism, "a,b=c", password);
        Assert.True(exchange.TryBegin(client.First()));
        Assert.Equal("a,b=c", exchange.User);
        var final = client.Final(exchange.Challenge(ScramCredential.Create(mechanism, "päss,=wörd")));
        Assert.Equal(isVerified, exchange.TryFinish(final, out var signature));
        if (isVerified)
            Assert.True(client.Trusts(signature));
    }

    [Fact]
    public void User_that_does_not_exist_has_the_same_salt_each_time_and_fails()
    {
        byte[] secret = [1, 2, 3];
        var (first, second) = (Salt(secret, "nobody"), Salt(secret, "nobody"));
        Assert.Equal(first, second);
        Assert.NotEqual(first, Salt(secret, "somebody"));
        Assert.NotEqual(first, Salt([4], "nobody"));

        static string Salt(byte[] secret, string user)
        {
            var exchange = new ScramExchange(ScramMechanism.Sha256);
            var client = new ScramClient(ScramMechanism.Sha256, user, "password");
            Assert.True(exchange.TryBegin(client.First()));
            var challenge = exchange.Challenge(new DecoyUsers(secret, []).Credential(user, ScramMechanism.Sha256, like: null));
            Assert.False(exchange.TryFinish(client.Final(challenge), out _));
            return Encoding.UTF8.GetString(challenge).Split(',')[1];
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("n,,")]
    [InlineData("n=user,r=abc")]
    [InlineData("p=tls-unique,,n=user,r=abc")]
    [InlineData("n,,n=,r=abc")]
    [InlineData("n,,n=user,r=")]
    [InlineData("n,,m=ext,n=user,r=abc")]
    [InlineData("n,,n=us=er,r=abc")]
    [InlineData("n,a=other,n=user,r=abc")]
    [InlineData("n,b=user,n=user,r=abc")]
    public void Malformed_first_message_is_refused(string message) =>
        Assert.False(new ScramExchange(ScramMechanism.Sha256).TryBegin(Bytes(message)));

    [Theory]
    [InlineData("n,a=user,n=user,r=abc")]
    [InlineData("y,,n=user,r=abc,ext=1")]
    public void Allowed_forms_of_the_first_message_are_accepted(string message) =>
        Assert.True(new ScramExchange(ScramMechanism.Sha256).TryBegin(Bytes(message)));

    [Theory]
    [InlineData("")]
    [InlineData("c=biws")]
    [InlineData("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=")]
    [InlineData("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=!!!")]
    [InlineData("c=eSws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")]
    [InlineData("c=biws,r=rOprNGfwEbeRWgbNEkqO,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")]
    public void Malformed_last_message_is_refused(string message)
    {
        var exchange = new ScramExchange(ScramMechanism.Sha256, ServerNonce);
        Assert.True(exchange.TryBegin(Bytes($"n,,n=user,r={ClientNonce}")));
        exchange.Challenge(Pencil());
        Assert.False(exchange.TryFinish(Bytes(message), out _));
    }

    [Fact]
    public void Nonce_of_the_client_may_come_twice()
    {
        var exchange = new ScramExchange(ScramMechanism.Sha256);
        var client = new ScramClient(ScramMechanism.Sha256, "user", "pencil") { RepeatsNonce = true };
        Assert.True(exchange.TryBegin(client.First()));
        Assert.True(exchange.TryFinish(client.Final(exchange.Challenge(Pencil())), out var signature));
        Assert.True(client.Trusts(signature));
    }

    [Fact]
    public void Credential_shows_no_key()
    {
        var credential = ScramCredential.Create(ScramMechanism.Sha512, "password", 5_000);
        Assert.Equal("SCRAM-SHA-512, 5000 iterations", credential.ToString());
        Assert.True(credential.Verifies("password"));
        Assert.False(credential.Verifies("Password"));
    }

    private static ScramCredential Pencil()
    {
        var salt = Convert.FromBase64String("W22ZaJ0SNY7soEsUEjb6gQ==");
        return ScramCredential.FromSaltedPassword(ScramMechanism.Sha256, salt, 4_096, System.Security.Cryptography.Rfc2898DeriveBytes
            .Pbkdf2("pencil", salt, 4_096, System.Security.Cryptography.HashAlgorithmName.SHA256, 32));
    }

    private static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);
}
