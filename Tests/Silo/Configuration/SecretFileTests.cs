using System.Text;
using OrleansMq.Diagnostics;
using OrleansMq.Security;
using OrleansMq.Silo.Configuration;

namespace OrleansMq.Tests.Silo.Configuration;

public sealed class SecretFileTests
{
    private const string ConfigFile = "/etc/omq.json";
    private const string SecretPath = "/run/secrets/omq";
    private const int MaxBytes = 65_536;

    // Valid for each secret setting.
    private const string Value = "Host=db;Password=hunter2";

    public static TheoryData<string> SecretKeys =>
        [.. Settings.All.Where(static setting => setting.IsSecret).Select(static setting => setting.Key)];

    [Fact]
    public void Each_secret_setting_is_followed_by_that_of_its_file() =>
        Assert.Equal(["adminPassword", "adminPasswordFile", "tlsPassword", "tlsPasswordFile", "postgres", "postgresFile"],
            Settings.All.Where(static setting => setting.IsSecret || setting.Secret is not null).Select(static setting => setting.Key));

    [Fact]
    public void Names_of_the_file_derive_from_those_of_the_setting()
    {
        var file = Settings.All.Single(static setting => setting.Key == "adminPasswordFile");
        Assert.Equal(("--admin-password-file", "OMQ_ADMIN_PASSWORD_FILE", false), (file.Flag, file.Variable, file.IsSecret));
    }

    [Theory]
    [MemberData(nameof(SecretKeys))]
    public void Value_is_read_from_the_file_that_any_source_names(string key)
    {
        var file = FileOf(key);
        foreach (var settings in new[] { Resolve(Value, flags: new() { [file.Key] = SecretPath }),
            Resolve(Value, environment: new() { [file.Variable] = SecretPath }), Resolve(Value, config: Config(file.Key, SecretPath)) })
        {
            Assert.Equal(Value, ValueOf(settings));
            Assert.DoesNotContain("hunter2", settings.ToString(), StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("word", "word")]
    [InlineData("word\n", "word")]
    [InlineData("word\r\n", "word")]
    [InlineData("word\n\n", "word\n")]
    [InlineData(" word ", " word ")]
    [InlineData("\uFEFFword", "word")]
    public void Value_is_the_content_without_one_line_end(string content, string value) =>
        Assert.Equal(value, Resolve(content, flags: new() { ["tlsPasswordFile"] = SecretPath }).TlsPassword);

    [Theory]
    [MemberData(nameof(SecretKeys))]
    public void Both_forms_in_one_source_are_refused_by_name(string key)
    {
        var (secret, file) = (Settings.All.Single(setting => setting.Key == key), FileOf(key));
        AssertRefused([secret.Flag + " and ", file.Flag, "omit one"],
            () => Resolve(Value, flags: new() { [key] = Value, [file.Key] = SecretPath }));
        AssertRefused([secret.Variable + " and ", file.Variable, "omit one"],
            () => Resolve(Value, environment: new() { [secret.Variable] = Value, [file.Variable] = SecretPath }));
        AssertRefused([ConfigFile, $"\"{key}\" and ", $"\"{file.Key}\"", "omit one"],
            () => Resolve(Value, config: $$"""{"{{file.Key}}": "{{SecretPath}}", "{{key}}": "{{Value}}"}"""));
    }

    [Fact]
    public void File_of_a_higher_source_beats_the_value_of_a_lower_one()
    {
        Assert.Equal("new", Resolve("new", environment: new() { ["OMQ_TLS_PASSWORD"] = "old" },
            flags: new() { ["tlsPasswordFile"] = SecretPath }).TlsPassword);
        Assert.Equal("new", Resolve("new", config: Config("tlsPassword", "old"),
            environment: new() { ["OMQ_TLS_PASSWORD_FILE"] = SecretPath }).TlsPassword);
    }

    [Fact]
    public void Overridden_file_is_not_read()
    {
        Assert.Equal("new", Resolve(null, environment: new() { ["OMQ_TLS_PASSWORD_FILE"] = SecretPath },
            flags: new() { ["tlsPassword"] = "new" }).TlsPassword);
        Assert.Equal("new", Resolve("new", config: Config("tlsPasswordFile", "/not/there"),
            flags: new() { ["tlsPasswordFile"] = SecretPath }).TlsPassword);
    }

    [Fact]
    public void File_that_cannot_be_read_is_refused_by_setting_path_and_reason()
    {
        AssertRefused([$"--tls-password-file {SecretPath}: ", "cannot be read", $"No {SecretPath}."],
            () => Resolve(null, flags: new() { ["tlsPasswordFile"] = SecretPath }));
        AssertRefused([$"OMQ_TLS_PASSWORD_FILE={SecretPath}: ", "cannot be read"],
            () => Resolve(null, environment: new() { ["OMQ_TLS_PASSWORD_FILE"] = SecretPath }));
        AssertRefused([ConfigFile, $"\"tlsPasswordFile\": \"{SecretPath}\": ", "cannot be read"],
            () => Resolve(null, config: Config("tlsPasswordFile", SecretPath)));
    }

    [Theory]
    [InlineData("")]
    [InlineData("\n")]
    [InlineData("\r\n")]
    public void Empty_file_is_refused(string content) => AssertRefused([$"--postgres-file {SecretPath}: the file is empty", "--postgres "],
        () => Resolve(content, flags: new() { ["postgresFile"] = SecretPath }));

    [Fact]
    public void File_has_64_KiB_at_most()
    {
        var flags = new Dictionary<string, string> { ["tlsPasswordFile"] = SecretPath };
        Assert.Equal(MaxBytes, Resolve(new string('x', MaxBytes), flags: flags).TlsPassword!.Length);
        AssertRefused([$"--tls-password-file {SecretPath}: ", "larger than 65536 bytes"],
            () => Resolve(new string('x', MaxBytes + 1), flags: flags));
    }

    [Fact]
    public void File_that_is_not_UTF_8_is_refused() => AssertRefused([$"--tls-password-file {SecretPath}: ", "not text in UTF-8"],
        () => ResolveFrom(static _ => new MemoryStream([0xFF, 0xFE, 0x77, 0x00]), flags: new() { ["tlsPasswordFile"] = SecretPath }));

    [Theory]
    [InlineData("adminPasswordFile", "hunter2\nhunter2", "a password of 1 to 1024 characters")]
    [InlineData("postgresFile", "Hots=db;Password=hunter2", "a connection string")]
    public void Invalid_content_is_refused_without_repeating_it(string key, string content, string expected)
    {
        var message = AssertRefused([SecretPath, "content is invalid", expected],
            () => Resolve(content, flags: new() { [key] = SecretPath }));
        Assert.DoesNotContain("hunter2", message, StringComparison.Ordinal);
    }

    [Fact]
    public void Admin_password_of_a_file_enforces_rules() => Assert.Equal(AuthorizationMode.Enforce,
        Resolve("word\n", environment: new() { ["OMQ_ADMIN_PASSWORD_FILE"] = SecretPath })
            .ToOptions(EngineLog.Silent, TimeProvider.System).Security.Authorization);

    private static Setting FileOf(string key) => Settings.All.Single(setting => setting.Secret?.Key == key);

    private static string? ValueOf(BrokerSettings settings) => settings.AdminPassword ?? settings.TlsPassword ?? settings.PostgreSql;

    private static string Config(string key, string value) => $$"""{"{{key}}": "{{value}}"}""";

    // The content is that of the file at SecretPath; null: there is none.
    private static BrokerSettings Resolve(string? content, Dictionary<string, string>? flags = null,
        Dictionary<string, string>? environment = null, string? config = null) =>
        ResolveFrom(path => content is not null && path == SecretPath ? new MemoryStream(Encoding.UTF8.GetBytes(content))
            : throw new FileNotFoundException($"No {path}."), flags, environment, config);

    private static BrokerSettings ResolveFrom(Func<string, Stream> openSecret, Dictionary<string, string>? flags = null,
        Dictionary<string, string>? environment = null, string? config = null) =>
        SettingsResolver.Resolve(flags ?? [], config is null ? null : ConfigFile, (environment ?? []).GetValueOrDefault, _ => config!,
            openSecret);

    private static string AssertRefused(string[] named, Action resolve)
    {
        var refused = Assert.Throws<SettingsException>(resolve);
        Assert.All(named, name => Assert.Contains(name, refused.Message, StringComparison.Ordinal));
        Assert.DoesNotContain('\n', refused.Message);
        return refused.Message;
    }
}
