using System.Security.Cryptography.X509Certificates;
using OrleansMq.Tls;

namespace OrleansMq.Tests.Kafka.Tls;

/// <summary>How the subject of a certificate becomes a client's name: as Kafka documents and tests it.</summary>
public sealed class PrincipalMappingTests
{
    private const string Duke = "CN=Duke, OU=ServiceUsers, O=Org, C=US";

    [Theory]
    [InlineData("DEFAULT", Duke, Duke)]
    [InlineData("", Duke, Duke)]
    [InlineData("RULE:^CN=(.*?), OU=ServiceUsers.*$/$1/", Duke, "Duke")]
    [InlineData("RULE:^CN=(.*?), OU=ServiceUsers.*$/$1/L", Duke, "duke")]
    [InlineData("RULE:^CN=(.*?), OU=(.*?), O=(.*?), C=(.*?)$/$1@$2/U", Duke, "DUKE@SERVICEUSERS")]
    [InlineData("RULE:^CN=nobody$/$0/,RULE:.*O=(?<o>[^,]*).*/${o}/", Duke, "Org")]
    [InlineData(" RULE:^cn=(.*?),ou=(.*?),dc=(.*?),dc=(.*?)$/$1@$2/U , DEFAULT ", "cn=a,ou=b,dc=c,dc=d", "A@B")]
    [InlineData("RULE:CN=(.*)\\/(.*)/$2\\/$1/", "CN=a/b", "b/a")]
    [InlineData("RULE:CN=(.*)/$1$9\\$1/", "CN=a", "a$9$1")]
    [InlineData("RULE:CN=(.*),/x/", "CN=a,O=b", null)] // The whole subject has to match.
    [InlineData("RULE:CN=nobody/x/", "CN=a", null)]
    public void First_rule_that_matches_the_whole_subject_names_the_client(string rules, string subject, string? name) =>
        Assert.Equal(name, PrincipalMapping.Parse(rules).Map(subject));

    [Theory]
    [InlineData("DEFAULT,")]
    [InlineData("default")]
    [InlineData("RULE:a/b")]
    [InlineData("RULE:a")]
    [InlineData("RULE:(/b/")]
    [InlineData("RULE:a/b/X")]
    [InlineData("RULE:a/${none}/")]
    [InlineData("DEFAULT DEFAULT")]
    public void Invalid_rules_are_refused_with_their_text(string rules) =>
        Assert.Contains(rules, Assert.Throws<TlsConfigurationException>(() => PrincipalMapping.Parse(rules)).Message,
            StringComparison.Ordinal);

    [Fact]
    public void Pattern_that_backtracks_for_long_does_not_match() =>
        Assert.Null(PrincipalMapping.Parse("RULE:(a+)+b/x/").Map(new string('a', 60)));

    [Theory]
    [InlineData("C=US, O=Org, OU=Service Users, CN=Duke", "CN=Duke,OU=Service Users,O=Org,C=US")]
    [InlineData("O=\"a,b\", CN=\"c+d;e\"", "CN=c\\+d\\;e,O=a\\,b")]
    [InlineData("CN=\" x \"", "CN=\\ x\\ ")]
    [InlineData("CN=\"#x\"", "CN=\\#x")]
    [InlineData("DC=example, CN=Grüße", "CN=Grüße,DC=example")]
    [InlineData("E=a@b, CN=x", "CN=x,1.2.840.113549.1.9.1=#1603614062")]
    public void Subject_is_formatted_as_Kafka_formats_it(string name, string text) =>
        Assert.Equal(text, DistinguishedNames.ToRfc2253(new X500DistinguishedName(name, X500DistinguishedNameFlags.None)));
}
