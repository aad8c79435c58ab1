using System.Diagnostics.CodeAnalysis;
using System.Text.Json.Serialization;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>What registrations of one container know of each other.</summary>
internal sealed class ClientRegistrations
{
    private readonly HashSet<string> _names = new(StringComparer.Ordinal);
    private readonly HashSet<string> _transactionalIds = new(StringComparer.Ordinal);

    /// <summary>The JSON formats registered so far.</summary>
    public List<JsonSerializerContext> Json { get; } = [];

    public static ClientRegistrations Of(IServiceCollection services)
    {
        if (services.FirstOrDefault(static service => service.ServiceType == typeof(ClientRegistrations)) is { } existing)
            return (ClientRegistrations)existing.ImplementationInstance!;
        var registrations = new ClientRegistrations();
        services.AddSingleton(registrations);
        return registrations;
    }

    /// <summary>Names a handler after its type. The second one of a type is numbered.</summary>
    public string NameFor(Type handler)
    {
        var name = handler.Name;
        for (var number = 2; !_names.Add(name); number++)
            name = $"{handler.Name}-{number}";
        return name;
    }

    /// <summary>Takes a transactional id for one registration: two with the same would fence each other.</summary>
    /// <exception cref="ArgumentException">It is not valid, or taken.</exception>
    public void TakeTransactionalId(string transactionalId)
    {
        if (TransactionalId.FindProblem(transactionalId) is { } problem)
            throw new ArgumentException(problem, nameof(transactionalId));
        if (!_transactionalIds.Add(transactionalId))
            throw new ArgumentException($"The transactional id '{transactionalId}' is registered already. Two with the same id fence each "
                + "other: give each its own.", nameof(transactionalId));
    }

    /// <summary>Refuses a type that has no format, unless one is given.</summary>
    /// <exception cref="InvalidOperationException">There is no format for the type.</exception>
    public void RequireFormat<T>(object? given)
    {
        if (given is null)
            _ = Serdes.Find<T>(Json);
    }

    /// <summary>Validates named options when the host starts, by rules that throw <see cref="ArgumentException"/>.</summary>
    public static OptionsBuilder<TOptions> AddValidated<
        [DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicParameterlessConstructor)] TOptions>(
        IServiceCollection services, string name, Action<TOptions> validate)
        where TOptions : class
    {
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<TOptions>>(new OptionsRules<TOptions>(validate)));
        return services.AddOptions<TOptions>(name).ValidateOnStart();
    }

    private sealed class OptionsRules<TOptions>(Action<TOptions> validate) : IValidateOptions<TOptions> where TOptions : class
    {
        public ValidateOptionsResult Validate(string? name, TOptions options)
        {
            try
            {
                validate(options);
                return ValidateOptionsResult.Success;
            }
            catch (ArgumentException e)
            {
                return ValidateOptionsResult.Fail(string.IsNullOrEmpty(name) ? e.Message : $"{name}: {e.Message}");
            }
        }
    }
}
