# An Erlang server that listens with inet6, as RabbitMQ, ejabberd and Phoenix do.
export HOME=/tmp
exec erl -noshell -eval '
  {ok, Listener} = gen_tcp:listen(7061, [inet6, binary, {active, false}]),
  Serve = fun(Again) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    gen_tcp:recv(Socket, 0, 1000),
    gen_tcp:send(Socket, "erlang\n"),
    gen_tcp:close(Socket),
    Again(Again)
  end,
  Serve(Serve).'
