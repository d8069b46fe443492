# Each host says over port 7001 what it found on its own 127.0.0.1:7000; nobody else gets there.
test "$(curl -sS http://inner-a:7001/)" = "inner a"
test "$(curl -sS http://inner-b:7001/)" = "inner b"
code=0
curl -sS http://inner-a:7000/ || code=$?
test "$code" = 7
